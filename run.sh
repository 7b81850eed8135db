#!/usr/bin/env bash
# Processes videos: ./run.sh VIDEO... [options], ./run.sh --demo, ./run.sh --help. Where the container image is there it is
# used; else everything that is needed is made on the first call.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

image=${TILEWATCH_IMAGE:-}
root=${TILEWATCH_HOST_ROOT:-} # a folder that stands for / where devices are looked for (tests give one)
dry=0

usage() {
  cat <<'END'
Usage: ./run.sh VIDEO... [options]
       ./run.sh --demo

In the container image tilewatch:latest (./build.sh makes it) or tilewatch:cpu (docker compose up makes it) where one of them is
there, else in an environment of its own.

Options of run.sh:
  --local       the local environment, image or not (also TILEWATCH_LOCAL=1)
  --image NAME  this image (also TILEWATCH_IMAGE)
  --dry-run     print what would be run, and make nothing

In a container the paths that are named are shown to it: inputs and models to be read, -o to be written to. Without -o and
OUTPUT_DIR the results go to ./output/DATE_TIME/. Settings that are exported (CONFIDENCE_THRESHOLD=0.4 ./run.sh ...) hold there too.
An image for NVIDIA gets the GPU, and is not started without one. Ctrl-C ends it as it ends the program, and the container is gone.

Options of tilewatch:
END
}

fail() { # CODE TEXT...
  printf 'run.sh: %s\n' "${@:2}" >&2
  exit "$1"
}

# Prints docker's options that show a path inside as it is called here; the working folder is there anyway.
mount() {
  local real name
  real=$(realpath -m -- "$1")
  for name in "$real" "$(realpath -ms -- "$1")"; do
    case $name/ in "$PWD"/*) ;; *) printf '%s\n' "-v$real:$name$2" ;; esac
  done
}

# Prints the options for a place where results go: a file's folder, or the folder.
mount_output() {
  local folder=$1
  case $(basename -- "$folder") in *.*) folder=$(dirname -- "$folder") ;; esac
  [ "$dry" = 1 ] || mkdir -p -- "$folder"
  mount "$folder" ''
}

# Prints the options for what the arguments name: what exists can be read, where results go can be written.
mounts() {
  local argument previous='' path
  for argument in "$@"; do
    path=${argument#--*=}
    case $previous:$argument in
      -o:* | --output:* | *:--output=*) mount_output "$path" ;;
      *:-o?*) mount_output "${argument#-o}" ;;
      *) if [ -e "$path" ]; then mount "$path" :ro; fi ;;
    esac
    previous=$argument
  done
}

# Prints the settings that are exported here, by name. Where the service has its folders is no matter of a single run.
exported_settings() {
  local name
  sed -n 's/^# \([A-Z][A-Z0-9_]*\)=.*/\1/p' "$here/.env.example" | while read -r name; do
    case $name in WATCH_DIR | LOG_DIR) continue ;; esac
    if [ -n "${!name:-}" ]; then echo "$name"; fi
  done
}

# Prints the options for the settings that are exported, and for the files they name.
settings() {
  local name
  for name in $(exported_settings); do
    printf '%s\n' "-e$name"
    case $name in
      MODEL_PATH | LABELS_PATH | INPUT_VIDEO) if [ -e "${!name}" ]; then mount "${!name}" :ro; fi ;;
      OUTPUT_DIR) mount_output "${!name}" ;;
    esac
  done
}

# Whether the arguments or a setting say where results go.
names_output() {
  local argument
  for argument in "$@"; do
    case $argument in -o | -o?* | --output | --output=*) return 0 ;; esac
  done
  [ -n "${OUTPUT_DIR:-}" ] || grep -qsE '^(export )?OUTPUT_DIR=.' .env
}

# Prints docker's options for the GPU that an image for NVIDIA needs; fails where there is none to be had.
gpu() {
  local runtimes
  case $1 in cuda | jetson) ;; *) return 0 ;; esac
  runtimes=$(docker info --format '{{json .Runtimes}}' 2>/dev/null) || true
  if [ "$1" = cuda ]; then
    [ -e "$root/dev/nvidiactl" ] || fail 70 "the image $image is for an NVIDIA card, and there is none: /dev/nvidiactl is missing" \
      "  install NVIDIA's driver, or build the image for the CPU: ./build.sh --target cpu"
  else
    [ -e "$root/dev/nvhost-gpu" ] || [ -e "$root/dev/nvgpu" ] || fail 70 \
      "the image $image is for a Jetson, and its GPU is not there: neither /dev/nvhost-gpu nor /dev/nvgpu" \
      "  build the image for this machine: ./build.sh"
  fi
  [[ $runtimes == *'"nvidia"'* ]] || fail 70 "Docker has no runtime nvidia, which brings the GPU into the container:" \
    "  sudo apt-get install nvidia-container-toolkit && sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
  printf '%s\n' --runtime=nvidia -eNVIDIA_VISIBLE_DEVICES=all -eNVIDIA_DRIVER_CAPABILITIES=compute,utility,video --shm-size=2g
  if [ "$1" = jetson ]; then
    local device
    for device in "$root"/dev/nvmap "$root"/dev/nvhost-gpu "$root"/dev/dri/*; do
      if [ -e "$device" ]; then stat -c '--group-add=%g' "$device"; fi
    done | sort -u
  fi
}

run_in_container() {
  local target cache=${XDG_CACHE_HOME:-$HOME/.cache}/tilewatch
  local options=(--rm -i --no-healthcheck --user "$(id -u):$(id -g)" --read-only --cap-drop=ALL --security-opt=no-new-privileges)
  local gpu_options setting_options
  # Root owns what it makes here, but the folder may be somebody else's.
  if [ "$(id -u)" = 0 ]; then options+=(--cap-add=DAC_OVERRIDE); fi
  target=$(docker image inspect --format '{{index .Config.Labels "io.tilewatch.target"}}' "$image")
  gpu_options=$(gpu "$target")
  setting_options=$(settings)
  names_output "$@" || case " $* " in *' --help '*) ;; *) set -- "$@" -o "output/$(date +%Y-%m-%d_%H%M%S)" ;; esac
  mapfile -t -O "${#options[@]}" options < <({ mounts "$@"; printf '%s\n' "$setting_options" "$gpu_options"; } | sed '/^$/d' | sort -u)
  if [ -t 0 ] && [ -t 1 ]; then options+=(-t); fi
  # Emptied, what the image sets for the service does not stand in the way of the file .env here.
  options+=(-eLOG_DIR= -eXDG_CACHE_HOME=/cache)
  [ -n "${OUTPUT_DIR:-}" ] || options+=(-eOUTPUT_DIR=)
  local command=(docker run "${options[@]}" -v "$cache:/cache/tilewatch" -v "$PWD:$PWD" -w "$PWD" "$image" run "$@")
  if [ "$dry" = 1 ]; then
    printf '%q ' "${command[@]}" && echo
    return
  fi
  mkdir -p "$cache"
  echo "run.sh: using the container image $image (--local uses the local environment)" >&2
  exec "${command[@]}"
}

run_locally() {
  if [ "$dry" = 1 ]; then
    printf '%q ' "${TILEWATCH_VENV:-$here/.venv}/bin/python" -m tilewatch run "$@" && echo
    return
  fi
  # shellcheck source=deploy/environment.sh
  . "$here/deploy/environment.sh"
  prepare_environment "$here"
  echo "run.sh: using the local environment $ENVIRONMENT" >&2
  exec "$ENVIRONMENT/bin/python" -m tilewatch run "$@"
}

have_image() { command -v docker >/dev/null && timeout 3 docker image inspect "$1" >/dev/null 2>&1; }

# Whether there is an image to run; without a name, the first of those that this checkout's tools make.
choose_image() {
  local candidate answer
  for candidate in ${image:-tilewatch:latest tilewatch:cpu}; do
    answer=0
    have_image "$candidate" || answer=$?
    case $answer in
      0)
        image=$candidate
        return
        ;;
      124) return 1 ;; # Docker hangs: it is not asked again
    esac
  done
  return 1
}

where=${TILEWATCH_LOCAL:-0}
passed=()
while [ $# -gt 0 ]; do
  case $1 in
    --local) where=1 ;;
    --image)
      [ $# -ge 2 ] || fail 64 "--image needs a name"
      image=$2
      shift
      ;;
    --image=*) image=${1#*=} ;;
    --dry-run) dry=1 ;;
    -h | --help) usage && passed+=(--help) ;;
    *) passed+=("$1") ;;
  esac
  shift
done

if [ "$where" != 1 ] && choose_image; then
  run_in_container "${passed[@]}"
elif [ "$where" != 1 ] && [ -n "$image" ]; then
  fail 69 "there is no image $image here, or no Docker that answers: ./build.sh makes one, --local does without"
else
  run_locally "${passed[@]}"
fi
