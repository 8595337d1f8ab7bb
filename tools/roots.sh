# Scripts that work in roots of other releases source this file after tools/setup.sh. It makes a
# root with debootstrap and runs commands in it. The callers set `release` and `root`, a folder
# below build/.
# shellcheck shell=bash disable=SC2154

# cannot REASON: ends the script because this machine can have no such root.
cannot() {
  say "no root of $release can be made here: $1"
  exit 77
}

# need_roots: ends the script where this machine cannot make roots or enter them.
need_roots() {
  [[ $EUID -eq 0 ]] || cannot "chroot needs root"
  need_packages debootstrap || cannot "debootstrap cannot be installed"
}

# in_root COMMAND...: runs a command there, with the settings of registries that this machine
# has in its environment. Its /proc is in a mount namespace of its own, which ends with it.
in_root() {
  local name settings=()
  for name in $(compgen -e); do
    [[ $name =~ ^(PIP_|GOPROXY|GONOSUMDB|SSL_CERT_FILE|http_proxy|https_proxy|no_proxy) ]] &&
      settings+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  env -i HOME=/root USER=root TERM=xterm "${settings[@]}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    unshare --mount bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" "$@"
}

# make_root MIRROR [SCRIPT [OPTION...]]: makes the root anew by a script of debootstrap, which is
# that of the release if none is given.
make_root() {
  local log=$root.log
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates "${@:3}" "$release" "$root" "${@:1:2}" \
    > "$log" 2>&1 || { rm -rf "$root"; cannot "debootstrap failed, see $log"; }
  touch "$root/made"
}

# make_debian_root: makes it from where this machine's apt gets its packages.
make_debian_root() {
  local mirror
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -E '/debian/?$' | head -1) ||
    cannot "apt here has no mirror of Debian"
  make_root "$mirror"
}

# Copies what a program needs to reach the registries that this machine uses.
copy_settings() {
  local file
  for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt \
    /etc/ssl/certs/java/cacerts; do
    [[ -e $file ]] && install -D "$(readlink -f "$file")" "$root$file"
  done
  apt-config dump Acquire::Check > "$root/etc/apt/apt.conf.d/99host"
  [[ -e $HOME/.config/go/env ]] && install -D "$HOME/.config/go/env" "$root/root/.config/go/env"
  return 0
}
