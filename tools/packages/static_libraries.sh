#!/usr/bin/env bash
# Builds archives of the libraries of which Debian has none that a portable program can contain.
# Each goes to build/static/SOURCE_VERSION, without an epoch, where
# cmake/LossdStaticLibraries.cmake looks. The sources are Debian's own for the installed -dev
# packages, with its patches and build flags, so that a security update of a package is one here
# too. Archives that exist are left alone.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
# shellcheck source=tools/setup.sh
source tools/setup.sh

readonly out=$PWD/build/static
readonly work=$out/work

# Runs apt-get with lists of source packages that are kept here, from where this machine's apt
# gets its packages, so that its own settings stay as they are.
apt_get() {
  apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User= "$@"
}

read_lists() {
  [[ -e $work/sources.list ]] && return
  mkdir -p "$work/lists/partial"
  # shellcheck disable=SC2016
  apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' | sort -u \
    > "$work/all.list"
  mv "$work/all.list" "$work/sources.list"
  apt_get update
}

cmake_archive() { # cmake_archive FOLDER PREFIX OPTION...
  cmake -S "$1" -B "$1/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_INSTALL_PREFIX="$2" "${@:3}"
  cmake --build "$1/build" -j "$(nproc)" --target install
}

# Each build_SOURCE FOLDER PREFIX builds what lossd needs of a source package.

build_fmtlib() { cmake_archive "$@" -DFMT_TEST=OFF -DFMT_DOC=OFF; }

build_spdlog() {
  cmake_archive "$@" -DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_EXAMPLE=OFF \
    -DCMAKE_PREFIX_PATH="$(echo "$out"/fmtlib_*)"
}

build_prometheus-cpp() {
  cmake_archive "$@" -DENABLE_PULL=OFF -DENABLE_PUSH=OFF -DENABLE_COMPRESSION=OFF \
    -DENABLE_TESTING=OFF -DUSE_THIRDPARTY_LIBRARIES=OFF
}

build_highway() {
  cmake_archive "$@" -DBUILD_TESTING=OFF -DHWY_ENABLE_CONTRIB=OFF \
    -DHWY_ENABLE_EXAMPLES=OFF -DHWY_ENABLE_TESTS=OFF
}

# The pages of the metrics address are plain HTTP. TLS would bring GnuTLS, whose p11-kit has no
# archive.
build_libmicrohttpd() {
  (cd "$1" && ./configure --prefix="$2" --disable-shared --with-pic --disable-https \
    --disable-curl --disable-doc --disable-examples)
  make -C "$1/src" -j "$(nproc)" install
  make -C "$1" install-pkgconfigDATA
}

# lossctl watch reads a page by HTTP, without a proxy; everything else is left out.
build_curl() {
  cmake_archive "$@" -DHTTP_ONLY=ON -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DENABLE_MANUAL=OFF \
    -DCURL_ENABLE_SSL=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_ZSTD=OFF \
    -DCURL_BROTLI=OFF -DUSE_LIBIDN2=OFF -DUSE_NGHTTP2=OFF -DCURL_USE_GSSAPI=OFF
}

# archive PACKAGE: builds the source of an installed -dev package.
archive() {
  local source version name
  # shellcheck disable=SC2016
  read -r source version \
    < <(dpkg-query -W -f '${source:Package} ${source:Version}\n' "$1")
  name=${source}_${version#*:}
  [[ $(cat "$out/$name/built" 2> /dev/null) == "$version" ]] && return
  say "building an archive of $source $version"
  read_lists
  rm -rf "${work:?}/$source" "$out/$source"_*
  mkdir -p "$work/$source" "$out/$name"
  (cd "$work/$source" && apt_get source --only-source "$source=$version") \
    > "$work/$source.log" 2>&1 || { cat "$work/$source.log"; return 1; }
  "build_$source" "$(echo "$work/$source"/*/)" "$out/$name" > "$work/$source.log" 2>&1 ||
    { cat "$work/$source.log"; return 1; }
  cp "$work/$source"/*/debian/copyright "$out/$name/copyright"
  echo "$version" > "$out/$name/built"
}

# The flags that Debian builds its packages with.
CFLAGS=$(dpkg-buildflags --get CFLAGS)
CXXFLAGS=$(dpkg-buildflags --get CXXFLAGS)
CPPFLAGS=$(dpkg-buildflags --get CPPFLAGS)
# CMake does not read CPPFLAGS.
export CFLAGS="$CFLAGS $CPPFLAGS" CXXFLAGS="$CXXFLAGS $CPPFLAGS"

for package in libfmt-dev libspdlog-dev prometheus-cpp-dev libhwy-dev libmicrohttpd-dev \
  libcurl4-openssl-dev; do
  archive "$package"
done
