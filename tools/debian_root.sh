#!/usr/bin/env bash
# Runs a command in a copy of this tree inside a root of another Debian release:
#
#   tools/debian_root.sh RELEASE COMMAND [ARGUMENT...]
#
# The root is build/debian/RELEASE. It is made once, with debootstrap, and kept: a later run
# copies the tree again and builds what has changed, with the ccache of the root. Packages
# come from where this machine's apt gets its own. It exits with 77, after a line that says
# why, where no such root can be made.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh

[[ $# -ge 2 ]] || { echo "usage: tools/debian_root.sh RELEASE COMMAND [ARGUMENT...]" >&2; exit 2; }
release=$1
shift
root=$PWD/build/debian/$release
readonly release root

# cannot REASON: ends the script because this machine can have no such root.
cannot() {
  say "no root of Debian $release can be made here: $1"
  exit 77
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

make_root() {
  local mirror
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -E '/debian/?$' | head -1) ||
    cannot "apt here has no mirror of Debian"
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$mirror" \
    > "build/debian/$release.log" 2>&1 ||
    { rm -rf "$root"; cannot "debootstrap failed, see build/debian/$release.log"; }
  touch "$root/made"
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

# Copies the files that git would, with their times, so that ninja builds what has changed.
# The last copy goes first, apart from what was built, because files may have been deleted since.
copy_tree() {
  mkdir -p "$root/root/lossd"
  find "$root/root/lossd" -mindepth 1 -maxdepth 1 -not -name build -exec rm -rf {} +
  git ls-files --cached --others --exclude-standard -z |
    tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read |
    tar --extract --directory="$root/root/lossd"
}

[[ $EUID -eq 0 ]] || cannot "chroot needs root"
git rev-parse --git-dir > /dev/null 2>&1 || cannot "git has no repository here whose files it could list"
mkdir -p build/debian
need_packages debootstrap || cannot "debootstrap cannot be installed"
[[ -e $root/made ]] || make_root
unshare --mount mount -t proc proc "$root/proc" 2> /dev/null || cannot "/proc cannot be mounted"
copy_settings
in_root apt-get -qq update || cannot "apt cannot reach its mirror from there"
copy_tree
say "in a root of Debian $(cat "$root/etc/debian_version"): $*"
in_root bash -c 'cd /root/lossd && exec "$@"' lossd "$@"
