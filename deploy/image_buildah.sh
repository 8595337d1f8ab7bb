# shellcheck shell=bash disable=SC2016
# image.sh sources this file where no container engine runs; it replaces the functions that
# use one. buildah builds in a chroot, from the base image of image_base.sh. The image is
# started in a chroot too, with the user, environment and entry point that it names.

SERVER_PID=
WORKING=

buildah() {
  command buildah --root "$WORK/storage" --runroot "$WORK/run" --storage-driver vfs "$@"
}

build_base() {
  if buildah inspect --type image "localhost/$BASE" > /dev/null 2>&1; then return; fi
  local container
  make_base_tar
  container=$(buildah from scratch)
  buildah add -q "$container" "$WORK/base.tar" / > /dev/null
  buildah config --cmd bash --env "PATH=$BASE_PATH" "$container"
  buildah commit -q --rm "$container" "localhost/$BASE" > /dev/null
  rm "$WORK/base.tar"
}

build_image() {
  # shellcheck source=tools/setup.sh
  (source tools/setup.sh && need_packages buildah)
  build_base
  local arguments
  mapfile -t arguments < <(build_arguments)
  # buildah's own format has no health check.
  buildah bud --isolation chroot --format docker \
    --build-context "$BASE=container-image://localhost/$BASE" \
    "${arguments[@]}" -t "$IMAGE" .
}

# Prints a list in the image's configuration, one item a line.
image_list() {
  buildah inspect --type image --format "{{range .OCIv1.Config.$1}}{{println .}}{{end}}" \
    "$IMAGE" | sed '/^$/d'
}

# Replaces this process by a command that runs as the image's user in the image's file
# system and environment.
exec_inside() {
  local user environment
  user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$IMAGE")
  mapfile -t environment < <(image_list Env)
  # In a mount namespace of its own, /proc and /dev are unmounted when the process ends.
  exec unshare --mount --propagation private bash -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec "$@"' "$ROOT" \
    env -i "${environment[@]}" "${SETTINGS[@]}" \
    "$(command -v chroot)" --userspec="$user" --groups= "$ROOT" "$@"
}

# shellcheck disable=SC2034  # image.sh uses the addresses
start_image() {
  local entrypoint
  mapfile -t entrypoint < <(image_list Entrypoint)
  WORKING=$(buildah from "$IMAGE")
  ROOT=$(buildah mount "$WORKING")
  # Without a network namespace, the server listens on loopback, on free ports.
  SETTINGS=(LOSSD_LISTEN=127.0.0.1:0 LOSSD_METRICS_LISTEN=127.0.0.1:0
    LOSSD_DRAIN_TIMEOUT="$DRAIN_TIMEOUT")
  (exec_inside "${entrypoint[@]}") > "$WORK/server.log" 2>&1 &
  SERVER_PID=$!
  until_succeeds grep -q '^lossd listening on ' "$WORK/server.log" \
    || fail "it does not start: $(cat "$WORK/server.log")"
  read -r GRPC_ADDRESS METRICS_ADDRESS < <(
    sed -n 's/^lossd listening on \([^ ]*\) metrics on \([^ ]*\).*/\1 \2/p' \
      "$WORK/server.log")
}

probe_health() { (exec_inside lossctl health --target="$GRPC_ADDRESS"); }

container_uid() { awk '/^Uid:/ { print $2 }' "/proc/$SERVER_PID/status"; }

terminate() {
  local result=0
  kill -TERM "$SERVER_PID"
  wait "$SERVER_PID" || result=$?
  SERVER_PID=
  stop_image
  return "$result"
}

stop_image() {
  if [[ -n $SERVER_PID ]]; then kill -KILL "$SERVER_PID" || true; fi
  SERVER_PID=
  if [[ -n $WORKING ]]; then buildah rm "$WORKING" > /dev/null || true; fi
  WORKING=
}
