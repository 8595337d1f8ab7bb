# shellcheck shell=bash disable=SC2016
# image.sh sources this file. It makes the base image where no registry can be reached: a root of
# the same Debian, from the mirrors that the host's apt uses.

readonly BASE=debian:bookworm-slim
readonly BASE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Prints the host's Debian mirrors, as apt knows them: "URI SUITE COMPONENT" lines.
mirrors() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' | grep -E ' bookworm(-updates|-security)? main$' | sort -u
}

# Writes the root to $WORK/base.tar.
make_base_tar() {
  local root=$WORK/base mirror
  # shellcheck source=tools/setup.sh
  (source tools/setup.sh && need_packages debootstrap)
  mirror=$(mirrors | awk '$2 == "bookworm" { print $1; exit }')
  rm -rf "$root"
  say "making $BASE with debootstrap"
  debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} \
    > "$WORK/debootstrap.log" || fail "debootstrap failed: $WORK/debootstrap.log"
  if [[ -n $mirror ]]; then
    mirrors | sed 's/^/deb /' > "$root/etc/apt/sources.list"
  fi
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" --exclude='./dev/*' -cf "$WORK/base.tar" .
  rm -rf "$root"
}

# Has docker or podman pull the base, or import it where there is no registry.
need_base() {
  if "$ENGINE" image inspect "$BASE" > /dev/null 2>&1; then return; fi
  if "$ENGINE" pull "$BASE" > "$WORK/pull.log" 2>&1; then return; fi
  say "$BASE cannot be pulled: $(tail -n 1 "$WORK/pull.log")"
  [[ $EUID -eq 0 ]] || fail "making it takes root"
  make_base_tar
  "$ENGINE" import --change "ENV PATH=$BASE_PATH" --change 'CMD ["bash"]' \
    "$WORK/base.tar" "$BASE" > /dev/null
  rm "$WORK/base.tar"
}
