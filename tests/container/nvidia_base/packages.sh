#!/bin/sh
# Makes Debian packages of what lies in FOLDER, and an index of them: packages.sh FOLDER INDEX TENSORRT_VERSION.
set -eu
made=$1 index=$2 tensorrt=$3
python=3.10.6-1~22.04.1
architecture=$(dpkg --print-architecture)
libraries=/usr/lib/$(uname -m)-linux-gnu
mkdir -p "$index"

# package NAME VERSION DEPENDS: makes one of the folder build/NAME.
package() {
  mkdir -p "build/$1/DEBIAN"
  cat >"build/$1/DEBIAN/control" <<END
Package: $1
Version: $2
Architecture: $architecture
Maintainer: nobody <nobody@example.invalid>
Depends: $3
Description: a stand-in
END
  dpkg-deb -Znone --root-owner-group --build "build/$1" "$index/$1.deb" >/dev/null
  {
    cat "build/$1/DEBIAN/control"
    echo "Filename: ./$1.deb"
    echo "Size: $(stat -c %s "$index/$1.deb")"
    echo "SHA256: $(sha256sum "$index/$1.deb" | cut -d' ' -f1)"
    echo
  } >>"$index/Packages"
}

cd /tmp
for name in python3 python3-venv python3-dev; do mkdir -p "build/$name/usr/bin" "build/$name/usr/lib/python3.10" "build/$name/usr/include"; done

# As Ubuntu divides it: what pip is installed from is a package of its own, and so are the headers.
cp -a "$made/python/bin/python3.10" build/python3/usr/bin/
ln -s python3.10 build/python3/usr/bin/python3
cp -a "$made/python/lib/python3.10/." build/python3/usr/lib/python3.10/
mkdir -p build/python3/usr/lib/python3/dist-packages "build/python3$libraries"
cp -a "$made"/python/lib/libpython3.10.so* "build/python3$libraries/" 2>/dev/null || true # linked into the program, mostly
mv build/python3/usr/lib/python3.10/ensurepip build/python3-venv/usr/lib/python3.10/
cp -a "$made/python/include/python3.10" build/python3-dev/usr/include/
package python3 "$python" "libc6, libssl3, libffi8, libsqlite3-0, zlib1g, libbz2-1.0, liblzma5, libreadline8, libncursesw6, libuuid1, libexpat1"
package python3-venv "$python" "python3 (= $python)"
package python3-dev "$python" "python3 (= $python)"

# TensorRT's own bindings, as NVIDIA's package has them; its libraries are packages without content.
for name in libnvinfer10 libnvinfer-plugin10 libnvonnxparsers10; do package "$name" "$tensorrt" libc6; done
mkdir -p build/python3-libnvinfer/usr/lib/python3.10/dist-packages
cp -a "$made/tensorrt" "$made"/tensorrt-*.dist-info build/python3-libnvinfer/usr/lib/python3.10/dist-packages/
package python3-libnvinfer "$tensorrt" "python3, libnvinfer10 (= $tensorrt), libnvinfer-plugin10 (= $tensorrt), libnvonnxparsers10 (= $tensorrt)"
