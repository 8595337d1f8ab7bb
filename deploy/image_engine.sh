# shellcheck shell=bash
# Part of image.sh: with docker or podman.

CONTAINER=

build_image() {
  local arguments
  mapfile -t arguments < <(build_arguments)
  # Podman's own format has no health check.
  local format=()
  [[ $ENGINE == podman ]] && format=(--format docker)
  "$ENGINE" build "${format[@]}" "${arguments[@]}" -t "$IMAGE" .
}

# shellcheck disable=SC2034  # image_tools.sh uses the addresses
start_image() {
  CONTAINER=$("$ENGINE" run -d -e LOSSD_DRAIN_TIMEOUT="$DRAIN_TIMEOUT" \
    -p 127.0.0.1::50051 -p 127.0.0.1::9464 "$IMAGE")
  GRPC_ADDRESS=$("$ENGINE" port "$CONTAINER" 50051/tcp | head -n 1)
  METRICS_ADDRESS=$("$ENGINE" port "$CONTAINER" 9464/tcp | head -n 1)
}

probe_health() { "$ENGINE" exec "$CONTAINER" lossctl health --target=127.0.0.1:50051; }

container_uid() { "$ENGINE" exec "$CONTAINER" id -u; }

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
