#!/bin/sh
# Prepares the system of a runtime image: system.sh PACKAGE... installs Debian packages, makes the user and the folders
# that are mounted, and removes what a running service has no use for.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log

# A fixed number, so that a mounted folder can be given to it on any host. The groups that own cameras and GPUs are the
# host's: their numbers are added when the container is started.
groupadd --gid 10001 tilewatch
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tilewatch
mkdir -p /videos /models /output /logs /cache /config
chown tilewatch:tilewatch /output /logs
chmod 1777 /cache # `--user` of any number may keep compiled graphs there

# The public Python images bring pip for their users; a service that installs nothing does without.
rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* /usr/local/bin/wheel \
  /usr/local/bin/idle* /usr/local/bin/pydoc*
