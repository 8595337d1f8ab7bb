#!/usr/bin/env bash
# Builds the container image for real and tries what it built: a call, a scrape, the
# health probe, the user it runs as, and the drain. Needs a container engine, or,
# where none runs, root (for debootstrap and buildah, which it installs).
#
#   deploy/image.sh [--cuda]           build and try lossd:latest, or lossd:cuda
#   deploy/image.sh [--cuda] --build   build only
#
# lossd:cuda has the CUDA backend; to build and try it no GPU is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
TAG=latest PRESET=release TRY=yes
for argument in "$@"; do
  case $argument in
    --cuda) TAG=cuda PRESET=cuda ;;
    --build) TRY=no ;;
    *) echo "image: what is $argument? [--cuda] [--build]" >&2; exit 2 ;;
  esac
done
readonly IMAGE=lossd:$TAG PRESET TRY
readonly WORK=$PWD/build/image
mkdir -p "$WORK"

say() { printf '%s\n' "$*"; }
fail() { say "image: $*" >&2; exit 1; }

# The first container engine that runs; "buildah" where none does.
find_engine() {
  local engine
  for engine in docker podman; do
    if "$engine" info > /dev/null 2>&1; then say "$engine"; return; fi
  done
  say buildah
}

ENGINE=$(find_engine)
if [[ $ENGINE == buildah && $EUID -ne 0 ]]; then
  exec sudo --preserve-env "$PWD/deploy/image.sh" "$@"
fi
# shellcheck source=deploy/image_tools.sh
source deploy/image_tools.sh
if [[ $ENGINE == buildah ]]; then
  # shellcheck source=deploy/image_buildah.sh
  source deploy/image_buildah.sh
else
  # shellcheck source=deploy/image_engine.sh
  source deploy/image_engine.sh
fi

say "image: building $IMAGE with $ENGINE"
build_image
[[ $TRY == no ]] && exit 0
need_tools
trap stop_image EXIT
# start_image sets GRPC_ADDRESS and METRICS_ADDRESS.
start_image
try_image
trap - EXIT
say "image: $IMAGE was built with $ENGINE and passed $CHECKS checks"
