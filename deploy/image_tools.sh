# shellcheck shell=bash
# Part of image.sh: what is tried, however the image was started.

CHECKS=0
# The longest that a drain may take in the trial.
# shellcheck disable=SC2034  # the other parts use it
readonly DRAIN_TIMEOUT=3s

passed() { CHECKS=$((CHECKS + 1)); say "  ok: $*"; }

# Proxies of this machine, for apt inside the build; nothing is written into the image.
build_arguments() {
  local name
  printf '%s\n' --build-arg "PRESET=$PRESET"
  for name in http_proxy https_proxy no_proxy; do
    if [[ -n ${!name:-} ]]; then printf '%s\n' --build-arg "$name=${!name}"; fi
  done
}

install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q ' installed' \
      || missing+=("$package")
  done
  if [[ ${#missing[@]} -gt 0 ]]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" > /dev/null
  fi
}

need_tools() {
  GRPCURL=${GRPCURL:-$PWD/build/bin/grpcurl}
  [[ -x $GRPCURL ]] || GRPCURL=$(command -v grpcurl) \
    || fail "grpcurl is missing; ./dev image installs it"
  command -v curl > /dev/null || fail "curl is missing"
}

# Runs the command until it succeeds, 100 times at most.
until_succeeds() {
  local _
  for _ in $(seq 100); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  return 1
}

try_image() {
  local answer
  # The probe is the image's own HEALTHCHECK command, run inside.
  until_succeeds probe_health > /dev/null 2>&1 || fail "the health probe does not pass"
  passed "the health probe passes inside the container"

  answer=$("$GRPCURL" -plaintext \
    -d '{"logits":{"values":[0.5,-1]},"targets":{"values":[1,0]}}' \
    "$GRPC_ADDRESS" lossd.v1.LossService/ComputeLoss)
  # (log(1 + e^-0.5) + log(1 + e^-1)) / 2
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

# gRPC's own health service is not described by its reflection; this much of it is used.
health_proto() {
  cat << 'PROTO'
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest {}
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; }
  ServingStatus status = 1;
}
service Health {
  rpc Watch(HealthCheckRequest) returns (stream HealthCheckResponse);
}
PROTO
}

try_drain() {
  local watch=$WORK/health.log
  health_proto > "$WORK/health.proto"
  "$GRPCURL" -plaintext -import-path "$WORK" -proto health.proto -d '{}' \
    "$GRPC_ADDRESS" grpc.health.v1.Health/Watch > "$watch" 2>&1 &
  local watcher=$!
  until_succeeds grep -q '"SERVING"' "$watch" || fail "no health stream: $(cat "$watch")"
  terminate || fail "it did not end with exit code 0 on SIGTERM"
  wait "$watcher" || true  # the server ends the stream
  grep -q '"NOT_SERVING"' "$watch" || fail "no drain was seen: $(cat "$watch")"
  passed "SIGTERM: health turns to NOT_SERVING, then exit code 0"
}
