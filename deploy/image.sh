#!/usr/bin/env bash
# Builds the container image and tries it: the health probe, a call, a scrape, the user,
# and the drain. It uses docker or podman. Where neither runs, it becomes root, installs
# debootstrap and buildah, and uses them (image_buildah.sh).
#
#   deploy/image.sh [--cuda]           builds and tries lossd:latest, or lossd:cuda
#   deploy/image.sh [--cuda] --build   only builds
#
# lossd:cuda has the CUDA backend. Building and trying it needs no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
TAG=latest PRESET=release TRY=yes
for argument in "$@"; do
  case $argument in
    --cuda) TAG=cuda PRESET=cuda ;;
    --build) TRY=no ;;
    *) echo "image: $argument is none of --cuda and --build" >&2; exit 2 ;;
  esac
done
readonly IMAGE=lossd:$TAG PRESET TRY
readonly WORK=$PWD/build/image
# A drain in the trial may take at most this long.
readonly DRAIN_TIMEOUT=3s
CHECKS=0
CONTAINER=
mkdir -p "$WORK"

say() { echo "image: $*"; }
fail() { say "$*" >&2; exit 1; }
passed() { CHECKS=$((CHECKS + 1)); echo "  ok: $*"; }

# Runs the command until it succeeds, at most 100 times in 10 seconds.
until_succeeds() {
  local _
  for _ in $(seq 100); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  return 1
}

# Prints the first container engine that runs, or "buildah" where none does.
find_engine() {
  local engine
  for engine in docker podman; do
    if "$engine" info > /dev/null 2>&1; then echo "$engine"; return; fi
  done
  echo buildah
}

# Prints the build arguments. They pass the host's proxies to apt inside the build, and
# nothing of them is written into the image.
build_arguments() {
  local name
  printf '%s\n' --build-arg "PRESET=$PRESET"
  for name in http_proxy https_proxy no_proxy; do
    if [[ -n ${!name:-} ]]; then printf '%s\n' --build-arg "$name=${!name}"; fi
  done
}

# Prints the Dockerfile, for a client without BuildKit without the folders that the engine keeps.
dockerfile() {
  if [[ $ENGINE == docker ]] && ! builds_with_buildkit; then
    sed 's/RUN --mount=[^ ]*/RUN/' Dockerfile
  else
    cat Dockerfile
  fi
}

# BuildKit is within docker up to 22, and a plugin of later ones.
builds_with_buildkit() {
  local version
  version=$(docker version --format '{{.Client.Version}}')
  ((${version%%.*} < 23)) || docker buildx version > /dev/null 2>&1
}

build_image() {
  local arguments
  need_base
  mapfile -t arguments < <(build_arguments)
  # Podman's own format has no health check.
  local format=()
  [[ $ENGINE == podman ]] && format=(--format docker)
  # apt inside the build goes the host's way to the mirrors.
  dockerfile > "$WORK/Dockerfile"
  if [[ $ENGINE == docker ]] && builds_with_buildkit; then export DOCKER_BUILDKIT=1; fi
  "$ENGINE" build --network host "${format[@]}" "${arguments[@]}" -f "$WORK/Dockerfile" \
    -t "$IMAGE" .
}

# Starts the image and sets GRPC_ADDRESS and METRICS_ADDRESS.
start_image() {
  CONTAINER=$("$ENGINE" run -d -e LOSSD_DRAIN_TIMEOUT="$DRAIN_TIMEOUT" \
    -p 127.0.0.1::50051 -p 127.0.0.1::9464 "$IMAGE")
  GRPC_ADDRESS=$("$ENGINE" port "$CONTAINER" 50051/tcp | head -n 1)
  METRICS_ADDRESS=$("$ENGINE" port "$CONTAINER" 9464/tcp | head -n 1)
}

# Runs the image's own HEALTHCHECK command inside the container.
probe_health() { "$ENGINE" exec "$CONTAINER" lossctl health --target=127.0.0.1:50051; }

container_uid() { "$ENGINE" exec "$CONTAINER" id -u; }

# Sends SIGTERM and succeeds if the server ends with code 0.
terminate() {
  "$ENGINE" stop --time 30 "$CONTAINER" > /dev/null
  [[ $("$ENGINE" inspect --format '{{.State.ExitCode}}' "$CONTAINER") == 0 ]]
  local result=$?
  stop_image
  return "$result"
}

stop_image() {
  [[ -n $CONTAINER ]] && "$ENGINE" rm -f "$CONTAINER" > /dev/null
  CONTAINER=
}

need_tools() {
  GRPCURL=${GRPCURL:-$PWD/build/bin/grpcurl}
  [[ -x $GRPCURL ]] || GRPCURL=$(command -v grpcurl) \
    || fail "grpcurl is missing; ./dev image installs it"
  command -v curl > /dev/null || fail "curl is missing"
}

try_image() {
  local answer
  until_succeeds probe_health > /dev/null 2>&1 || fail "the health probe does not pass"
  passed "the health probe passes inside the container"

  answer=$("$GRPCURL" -plaintext \
    -d '{"logits":{"values":[0.5,-1]},"targets":{"values":[1,0]}}' \
    "$GRPC_ADDRESS" lossd.v1.LossService/ComputeLoss)
  # The loss is (log(1 + e^-0.5) + log(1 + e^-1)) / 2.
  grep -q '"loss": 0\.39366' <<< "$answer" || fail "unexpected answer: $answer"
  passed "grpcurl gets the loss by reflection alone"

  answer=$(curl -sSf "http://$METRICS_ADDRESS/metrics")
  grep -q '^lossd_requests_total{method="ComputeLoss",code="OK"} 1$' <<< "$answer" \
    || fail "the scrape does not show the call"
  passed "the metrics show the call"

  [[ $(container_uid) == 10001 ]] || fail "runs as user $(container_uid)"
  passed "it runs as user 10001, not root"
  try_drain
}

try_drain() {
  local watch=$WORK/health.log
  "$GRPCURL" -plaintext "$GRPC_ADDRESS" grpc.health.v1.Health/Watch > "$watch" 2>&1 &
  local watcher=$!
  until_succeeds grep -q '"SERVING"' "$watch" || fail "no health stream: $(cat "$watch")"
  terminate || fail "it did not end with exit code 0 on SIGTERM"
  wait "$watcher" || true  # the server ends the stream
  grep -q '"NOT_SERVING"' "$watch" || fail "no drain was seen: $(cat "$watch")"
  passed "SIGTERM: health turns to NOT_SERVING, then exit code 0"
}

# shellcheck source=deploy/image_base.sh
source deploy/image_base.sh
ENGINE=$(find_engine)
if [[ $ENGINE == buildah ]]; then
  if [[ $EUID -ne 0 ]]; then exec sudo --preserve-env "$PWD/deploy/image.sh" "$@"; fi
  # shellcheck source=deploy/image_buildah.sh
  source deploy/image_buildah.sh
fi

say "building $IMAGE with $ENGINE"
build_image
[[ $TRY == no ]] && exit 0
need_tools
trap stop_image EXIT
start_image
try_image
trap - EXIT
say "$IMAGE was built with $ENGINE and passed $CHECKS checks"
