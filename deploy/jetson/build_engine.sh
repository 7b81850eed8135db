#!/usr/bin/env bash
# Builds a TensorRT engine on the machine that will run it, in the container or with a local tilewatch.
set -euo pipefail

usage() {
  cat <<'END'
Usage: build_engine.sh --calibrate VIDEO... [--models DIR] [--image IMAGE] [--local] [--dry-run] [-- OPTIONS]

Builds DIR/model.engine out of DIR/model.onnx, for this device and this TensorRT: an engine runs nowhere else.

  --calibrate VIDEO  footage such as the model will see, a minute is enough; may be given again. The finished engine is
                     checked on it, and an engine in int8 calibrated
  --models DIR       folder with model.onnx; the engine appears beside it (default: ./models)
  --image IMAGE      that is run (default: $TILEWATCH_IMAGE, else tilewatch:jetson on a Jetson, tilewatch:cuda elsewhere)
  --local            use the `tilewatch` on the PATH instead of a container
  --dry-run          print the command and run nothing
  -- OPTIONS         of `tilewatch model build`, as --precision int8: see `tilewatch model build --help`

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

models=./models footage=() image=${TILEWATCH_IMAGE:-} local=false dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --models | --image | --calibrate)
      [ $# -gt 1 ] || fail 64 "$1 needs a value: see --help"
      case $1 in
        --calibrate) footage+=("$2") ;;
        *) printf -v "${1#--}" '%s' "$2" ;;
      esac
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
[ ${#footage[@]} -gt 0 ] || fail 64 "--calibrate VIDEO is missing: name some footage such as the model will see"
for video in "${footage[@]}"; do
  [ -f "$video" ] || fail 65 "$video: no such file: name a video with --calibrate"
done

if $local; then
  command=(tilewatch model build "$models/model.onnx" --output "$models/model.engine")
  for video in "${footage[@]}"; do command+=(--calibrate "$video"); done
else
  if is_jetson; then
    # Group numbers of the host, as in docker-compose.jetson.yml: the GPU's nodes belong to them.
    access=(--runtime nvidia --group-add "${TILEWATCH_VIDEO_GROUP:-44}" --group-add "${TILEWATCH_RENDER_GROUP:-104}")
    kind=jetson
  else
    access=(--gpus all) kind=cuda
  fi
  image=${image:-tilewatch:$kind}
  # As the folder's owner, so that the engine belongs to whoever owns the model.
  command=(docker run --rm --init "${access[@]}" -e "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    --user "$(stat -c %u:%g "$models")" --read-only --tmpfs /tmp -e XDG_CACHE_HOME=/models/.cache
    -v "$models:/models")
  calibrate=()
  for video in "${footage[@]}"; do
    inside=/footage/${#calibrate[@]}-$(basename -- "$video")
    command+=(-v "$(realpath -- "$video"):$inside:ro")
    calibrate+=(--calibrate "$inside")
  done
  command+=("$image" model build /models/model.onnx --output /models/model.engine "${calibrate[@]}")
fi
command+=("$@")

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
