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
# shellcheck source=tools/roots.sh
source tools/roots.sh

[[ $# -ge 2 ]] || { echo "usage: tools/debian_root.sh RELEASE COMMAND [ARGUMENT...]" >&2; exit 2; }
release=$1
shift
root=$PWD/build/debian/$release
readonly release root

# Copies the files that git would, with their times, so that ninja builds what has changed.
# The last copy goes first, apart from what was built, because files may have been deleted since.
copy_tree() {
  mkdir -p "$root/root/lossd"
  find "$root/root/lossd" -mindepth 1 -maxdepth 1 -not -name build -exec rm -rf {} +
  git ls-files --cached --others --exclude-standard -z |
    tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read |
    tar --extract --directory="$root/root/lossd"
}

git rev-parse --git-dir > /dev/null 2>&1 || cannot "git has no repository here whose files it could list"
mkdir -p build/debian
need_roots
[[ -e $root/made ]] || make_debian_root
unshare --mount mount -t proc proc "$root/proc" 2> /dev/null || cannot "/proc cannot be mounted"
copy_settings
in_root apt-get -qq update || cannot "apt cannot reach its mirror from there"
copy_tree
say "in a root of Debian $(cat "$root/etc/debian_version"): $*"
in_root bash -c 'cd /root/lossd && exec "$@"' lossd "$@"
