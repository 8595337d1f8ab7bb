#!/usr/bin/env bash
# Builds a program that ./dev peers asks into build/peers: tools/peers_build.sh LANGUAGE, which is
# node (TensorFlow.js), java (ND4J) or rust (candle and burn). It installs the language's tools
# where they are missing. Exits with 1 and says why on standard error if it cannot. candle and burn
# need a newer Rust than Debian 12's.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
out=$PWD/build/peers
mkdir -p "$out"

# built LANGUAGE COMMAND...: runs it, and shows the end of what it said if it fails.
built() {
  local language=$1
  shift
  "$@" > "$out/$language.log" 2>&1 && return
  { echo "$1 cannot build it:"; grep . "$out/$language.log" | tail -n 5; } >&2
  exit 1
}

# with PROGRAM:PACKAGE...: installs programs that are missing. A subshell, because it may exit.
with() {
  (need_programs "$@") > "$out/packages.log" 2>&1 && return
  { echo "its tools cannot be installed:"; grep . "$out/packages.log" | tail -n 2; } >&2
  exit 1
}

case ${1:-} in
  node)
    with node:nodejs npm:npm
    rm -rf "$out/node" && cp -r tests/peers/node "$out/node"
    built node npm install --no-audit --no-fund --prefix "$out/node"
    ;;
  java)
    with javac:default-jdk-headless mvn:maven
    mkdir -p "$out/java"
    built java mvn -q -B -f tests/peers/java/pom.xml dependency:build-classpath \
      "-Dmdep.outputFile=$out/java/classpath"
    ;;
  rust)
    with cargo:cargo
    mkdir -p "$out/rust-source"
    # Cargo writes its lock file beside the manifest.
    cp -r tests/peers/rust/. "$out/rust-source"
    built rust cargo build --release --manifest-path "$out/rust-source/Cargo.toml" \
      --target-dir "$out/rust"
    ;;
  *)
    echo "usage: tools/peers_build.sh node|java|rust" >&2
    exit 2
    ;;
esac
