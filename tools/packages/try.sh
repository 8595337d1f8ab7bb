#!/usr/bin/env bash
# Tries the packages of build/wheel in a clean system: tools/packages/try.sh RELEASE, of Debian
# (bookworm, trixie) or Ubuntu (noble, jammy). build/roots/RELEASE is made once, with debootstrap;
# each try works in a copy of it. Exits with 77, after a line that says why, where no such root
# can be made.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
# shellcheck source=tools/roots.sh
source tools/roots.sh

[[ $# -eq 1 ]] || { echo "usage: tools/packages/try.sh RELEASE" >&2; exit 2; }
release=$1
root=$PWD/build/roots/$release
ubuntu=http://archive.ubuntu.com/ubuntu
packages=(build/wheel/*.whl build/wheel/*.deb)
[[ -e ${packages[1]} ]] || { say "build/wheel has no packages: ./dev wheel makes them"; exit 1; }

mkdir -p build/roots
need_roots
if [[ ! -e $root/made ]]; then
  case $release in
    noble | jammy)
      # Debian 12 has no package of Ubuntu's keys; nothing of this root goes anywhere. The script of
      # one release serves later ones.
      make_root "$ubuntu" /usr/share/debootstrap/scripts/jammy --no-check-gpg \
        --components=main,universe ;;
    *) make_debian_root ;;
  esac
fi

base=$root
root=$base-try
rm -rf "$root"
trap 'rm -rf "$root"' EXIT
cp -a --reflink=auto "$base" "$root"
copy_settings
mkdir -p "$root/packages/client"
cp "${packages[@]}" tools/packages/trial.py "$root/packages"
cp -r client/python "$root/packages/client"
cp -r proto "$root/packages"
in_root apt-get -qq update || cannot "apt cannot reach its mirror from there"
in_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
  python3-venv openssl > "$base.log" 2>&1 || { cat "$base.log"; exit 1; }
# shellcheck disable=SC2016
say "trying the packages in $(in_root sh -c '. /etc/os-release && echo "$PRETTY_NAME"')"
in_root python3 -u /packages/trial.py /packages
