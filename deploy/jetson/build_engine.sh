#!/usr/bin/env bash
# Builds a TensorRT engine on the machine that will run it, in the container or with a local tilewatch.
set -euo pipefail

usage() {
  cat <<'END'
Usage: build_engine.sh [--models DIR] [--videos DIR] [--image IMAGE] [--local] [--dry-run] [-- OPTIONS]

Builds DIR/model.engine out of DIR/model.onnx, for this device and this TensorRT: an engine runs nowhere else.

  --models DIR   folder with model.onnx; the engine appears beside it (default: ./models)
  --videos DIR   your footage, read-only: where a build wants tiles of it, for INT8 for one (default: none)
  --image IMAGE  that is run (default: $TILEWATCH_IMAGE, else tilewatch:jetson on a Jetson, tilewatch:cuda elsewhere)
  --local        use the `tilewatch` on the PATH instead of a container
  --dry-run      print the command and run nothing
  -- OPTIONS     of `tilewatch model build`: see `tilewatch model build --help`

Exit codes: 64 usage, 65 no model, 69 no docker or no image, else those of `tilewatch model build`.
END
}

fail() {
  local code=$1
  shift
  echo "build_engine.sh: $*" >&2
  exit "$code"
}

is_jetson() { tr -d '\0' 2>/dev/null <"${DEVICE_TREE_MODEL:-/proc/device-tree/model}" | grep -qi jetson; }

models=./models videos='' image=${TILEWATCH_IMAGE:-} local=false dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --models | --videos | --image)
      [ $# -gt 1 ] || fail 64 "$1 needs a value: see --help"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    --local) local=true ;;
    --dry-run) dry_run=true ;;
    -h | --help) usage && exit ;;
    --)
      shift
      break
      ;;
    *) fail 64 "$1: unknown: see --help" ;;
  esac
  shift
done

[ -f "$models/model.onnx" ] || fail 65 "$models/model.onnx: no such file: put the model there, or name its folder with --models"
models=$(realpath -- "$models")

if $local; then
  command=(tilewatch model build "$models/model.onnx" --output "$models/model.engine" "$@")
else
  if is_jetson; then
    access=(--runtime nvidia) kind=jetson
  else
    access=(--gpus all) kind=cuda
  fi
  image=${image:-tilewatch:$kind}
  # As the folder's owner, so that the engine belongs to whoever owns the model.
  command=(docker run --rm --init "${access[@]}" -e "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    --user "$(stat -c %u:%g "$models")" --group-add video --read-only --tmpfs /tmp -e XDG_CACHE_HOME=/models/.cache
    -v "$models:/models")
  if [ -n "$videos" ]; then
    [ -d "$videos" ] || fail 65 "$videos: no such folder: name that of your videos with --videos"
    command+=(-v "$(realpath -- "$videos"):/videos:ro")
  fi
  command+=("$image" model build /models/model.onnx --output /models/model.engine "$@")
fi

if $dry_run; then
  printf '%q ' "${command[@]}"
  echo
  exit
fi
if ! $local; then
  command -v docker >/dev/null || fail 69 "docker is missing: docs/JETSON.md says how to set it up"
  docker image inspect "$image" >/dev/null 2>&1 ||
    fail 69 "$image: no such image here: docker build -f Dockerfile.multi --target $kind -t $image ."
fi
exec "${command[@]}"
