#!/usr/bin/env bash
# Builds the container image for this machine: ./build.sh, ./build.sh --help.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=${TILEWATCH_HOST_ROOT:-} # a folder that stands for / (tests give one)

usage() {
  cat <<'END'
Usage: ./build.sh [options]

Looks at this machine, picks the image for it, builds it and says what to do next.

  --target NAME     cpu, cuda (x86-64 with an NVIDIA card) or jetson (JetPack 6); unset: what this machine is
  --name NAME       name of the image, a registry in front of it if it is to be pushed [tilewatch]
  --build-arg K=V   passed on, e.g. PYTHON_IMAGE=... to build on another base; may be given again
  --no-cache        build every step anew
  --pull            ask for newer base images
  --dry-run         check, and print the command instead of running it
  --help            this text

The image gets four tags: VERSION-TARGET, REVISION-TARGET, TARGET and latest.
Exit codes: 0 built, 64 wrong options, 69 something this machine lacks, else docker's own.
END
}

fail() { # CODE TEXT...
  printf 'build.sh: %s\n' "${@:2}" >&2
  exit "$1"
}

fact() { printf '  %-10s %s\n' "$1" "$2"; }

# --- What this machine is. Whether it is a Jetson is told by the device tree: /proc/cpuinfo names the same cores on others.

device_tree() { tr '\0' '\n' 2>/dev/null <"$root/proc/device-tree/$1" || true; }

is_jetson() { [[ $(device_tree model) == *Jetson* || $(device_tree compatible) == *nvidia,tegra* ]]; }

# Prints the release of Jetson Linux as 36.4.0; nothing where there is none.
l4t_release() {
  sed -n 's/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\).*/\1.\2/p' "$root/etc/nv_tegra_release" 2>/dev/null || true
}

jetpack() {
  dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat='${Version}' nvidia-jetpack 2>/dev/null ||
    echo "(package nvidia-jetpack not installed)"
}

# Prints the version of NVIDIA's kernel module; nothing where it is not loaded. (A Jetson has no nvidia-smi to ask.)
nvidia_driver() { grep -oEm1 '[0-9]{3}\.[0-9.]+' "$root/proc/driver/nvidia/version" 2>/dev/null || true; }

at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

detect() {
  if is_jetson; then
    echo jetson
  elif [ -n "$(nvidia_driver)" ] && [ "$(uname -m)" = x86_64 ]; then
    echo cuda
  else
    echo cpu
  fi
}

# --- What a target needs.

# Only JetPack 6.1 and 6.2 bring the driver that the image's CUDA 12.6 and TensorRT 10 were made for.
check_l4t() { # RELEASE
  local remedy="  flash JetPack 6.2, or build for the CPU: ./build.sh --target cpu"
  [ -n "$1" ] || fail 69 "/etc/nv_tegra_release does not tell the release of Jetson Linux: is JetPack installed?"
  at_least "$1" 36.4 || fail 69 "Jetson Linux $1 is older than 36.4 (JetPack 6.1), which CUDA 12.6 and TensorRT 10 need:" "$remedy"
  ! at_least "$1" 37 || fail 69 "Jetson Linux $1 is newer than JetPack 6 (36), which this image is made for:" "$remedy"
}

# Prints the library that TensorRT is linked against and the container toolkit takes from the host; nothing without it.
dla_compiler() { find "$root"/usr/lib/aarch64-linux-gnu/{nvidia,tegra} -name libnvdla_compiler.so 2>/dev/null || true; }

check_jetson() {
  local release
  is_jetson || { fact machine "not a Jetson: the image is built, but will not run here"; return; }
  release=$(l4t_release)
  fact machine "$(device_tree model | head -n1)"
  fact JetPack "$(jetpack), Jetson Linux ${release:-unknown}"
  check_l4t "$release"
  [ -n "$(dla_compiler)" ] ||
    fact warning "no libnvdla_compiler.so, without which TensorRT does not start: sudo apt install nvidia-l4t-dla-compiler"
}

# The condition of NVIDIA's CUDA 12.6 images, which NVIDIA's container runtime checks: a driver for CUDA 12.6 or, on
# professional and data-centre cards alone, one of the older branches that are kept up for them.
check_driver() { # DRIVER
  if at_least "$1" 560.28; then return; fi
  case $1 in
    535.* | 550.*) fact warning "driver $1 does for professional and data-centre cards; a GeForce needs 560.28 or newer" ;;
    *) fail 69 "the NVIDIA driver $1 is too old for CUDA 12.6: install 560.28 or newer" ;;
  esac
}

check_cuda() {
  local driver
  [ "$(uname -m)" = x86_64 ] || fail 69 "the cuda image is for x86-64, this machine is $(uname -m): --target jetson or cpu"
  driver=$(nvidia_driver)
  [ -n "$driver" ] || { fact driver "no NVIDIA driver is loaded: the image is built, but finds no GPU here"; return; }
  fact driver "NVIDIA $driver"
  check_driver "$driver"
}

check_cpu() { fact machine "$(uname -m), CPU only"; }

# Prints the gigabytes that a build needs for base, layers and its own cache.
gigabytes_for() { case $1 in cpu) echo 5 ;; cuda) echo 20 ;; jetson) echo 25 ;; esac; }

check_docker() {
  command -v docker >/dev/null || fail 69 "there is no docker: https://docs.docker.com/engine/install/"
  docker info >/dev/null 2>&1 || fail 69 "the Docker Engine does not answer: is it started, and is $(id -un) in the group docker?" \
    "  sudo systemctl start docker; sudo usermod -aG docker $(id -un)"
  docker buildx version >/dev/null 2>&1 || fail 69 "docker has no buildx: apt-get install docker-buildx-plugin (or docker-buildx)"
}

check_disk() {
  local folder free needed
  folder=$(docker info --format '{{.DockerRootDir}}')
  needed=$(gigabytes_for "$1")
  [ -d "$folder" ] || { fact disk "$folder is not on this machine: make sure of $needed GB there"; return; }
  free=$(($(df -Pk "$folder" | awk 'NR==2 {print $4}') / 1000 / 1000))
  fact disk "$free GB free in $folder"
  [ "$free" -ge "$needed" ] || fail 69 "$free GB free in $folder, the $1 image needs $needed to build:" \
    "  docker image prune; docker builder prune"
}

# --- What the image is called.

version() { sed -n 's/^version = "\(.*\)"/\1/p' "$here/pyproject.toml"; }

# Prints the commit, marked where the sources are not as committed; nothing outside a checkout.
revision() {
  local commit
  commit=$(git -C "$here" rev-parse --short=12 HEAD 2>/dev/null) || return 0
  git -C "$here" diff --quiet HEAD 2>/dev/null || commit+=-dirty
  echo "$commit"
}

# Prints where the sources come from, without a password that may stand in the address.
source_of() {
  local address
  address=$(git -C "$here" config --get remote.origin.url 2>/dev/null) || address=unknown
  if [[ $address =~ ^([a-z]+://)[^/@]*@(.*) ]]; then address=${BASH_REMATCH[1]}${BASH_REMATCH[2]}; fi
  echo "$address"
}

# Prints what comes between image and service where a GPU is to do the work: TensorRT runs engines, not models.
gpu_steps() {
  cat <<END
  echo COMPOSE_FILE=docker-compose.yml:docker-compose.$target.yml >>.env
  cp YOURS.onnx models/model.onnx
  TILEWATCH_IMAGE=$name:$target deploy/jetson/build_engine.sh --calibrate VIDEO.mp4
                                   the engine, for this machine alone; before the service is started
END
}

next_steps() {
  local size
  size=$(docker image inspect --format '{{.Size}}' "$name:$target")
  cat <<END

$name:$target is built: $((size / 1000 / 1000)) MB, base included.

Next:
  mkdir -p videos output logs models
END
  if [ "$target" != cpu ]; then gpu_steps; fi
  cat <<END
  docker compose up -d             the service: videos dropped into ./videos come out in ./output
  ./run.sh VIDEO.mp4               one video
END
  case $name in */*) echo "  docker push --all-tags $name" ;; esac
}

target='' name=tilewatch dry=0
extra=()
while [ $# -gt 0 ]; do
  case $1 in
    --target | --name | --build-arg)
      [ $# -ge 2 ] || fail 64 "$1 needs a value"
      case $1 in --target) target=$2 ;; --name) name=$2 ;; *) extra+=(--build-arg "$2") ;; esac
      shift
      ;;
    --target=*) target=${1#*=} ;;
    --name=*) name=${1#*=} ;;
    --build-arg=*) extra+=(--build-arg "${1#*=}") ;;
    --no-cache | --pull) extra+=("$1") ;;
    --dry-run) dry=1 ;;
    -h | --help) usage && exit ;;
    *) fail 64 "unknown option $1; see ./build.sh --help" ;;
  esac
  shift
done
chosen=${target:-$(detect)}
case $chosen in cpu | cuda | jetson) ;; *) fail 64 "--target $chosen is none of cpu, cuda, jetson" ;; esac
if [ -n "$target" ]; then why="as asked for"; else why="what this machine is; --target chooses another"; fi
target=$chosen

echo "tilewatch $(version), image for: $target ($why)"
"check_$target"
check_docker
check_disk "$target"

tags=("$name:$(version)-$target" "$name:$target" "$name:latest")
commit=$(revision)
if [ -n "$commit" ]; then tags+=("$name:$commit-$target"); fi
command=(docker buildx build --load --file "$here/Dockerfile.multi" --target "$target" --build-arg "VERSION=$(version)"
  --build-arg "REVISION=${commit:-unknown}" --build-arg "SOURCE=$(source_of)" "${extra[@]}")
for tag in "${tags[@]}"; do command+=(--tag "$tag"); done
command+=("$here")
fact tags "${tags[*]}"

if [ "$dry" = 1 ]; then
  printf '%q ' "${command[@]}" && echo
  exit
fi
"${command[@]}"
next_steps
