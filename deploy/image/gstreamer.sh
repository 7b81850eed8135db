#!/bin/sh
# Installs of GStreamer what a Jetson's codecs are reached through; NVIDIA's own elements come from the host. Two plugins of
# gstreamer1.0-plugins-bad are used, and a library that they share. Installed as packages these would bring a desktop along,
# some 550 MB of it, so they are taken out of the packages. What does not load fails the build.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends gstreamer1.0-tools gstreamer1.0-plugins-base libegl1
libraries=/usr/lib/$(uname -m)-linux-gnu
mkdir /tmp/bad
cd /tmp/bad
apt-get download -o APT::Sandbox::User=root gstreamer1.0-plugins-bad libgstreamer-plugins-bad1.0-0
for package in *.deb; do dpkg-deb --extract "$package" .; done
cp -a ".$libraries"/libgstcodecparsers-1.0.so.0* "$libraries/"
cp -a ".$libraries/gstreamer-1.0/libgstvideoparsersbad.so" ".$libraries/gstreamer-1.0/libgstgdp.so" "$libraries/gstreamer-1.0/"
ldconfig
cd /
rm -rf /tmp/bad /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
for element in fdsrc fdsink gdppay gdpdepay h264parse h265parse; do
  GST_REGISTRY=/tmp/registry gst-inspect-1.0 --exists "$element" || { echo "GStreamer has no $element" >&2; exit 1; }
done
rm -f /tmp/registry
