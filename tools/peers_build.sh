#!/usr/bin/env bash
# Builds the programs that ./dev peers asks, of TensorFlow.js, ND4J, candle and burn, into
# build/peers: tools/peers_build.sh. A program whose tools or packages are missing is left out, and
# its rows fail. candle and burn need a newer Rust than Debian 12's.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/peers
mkdir -p "$out"

# try NAME COMMAND...: says so if the command fails, with its last lines.
try() {
  local name=$1
  shift
  "$@" > "$out/$name.log" 2>&1 || { echo "$name is left out:"; tail -n 3 "$out/$name.log"; }
}

rm -rf "$out/node" && cp -r tests/peers/node "$out/node"
try node npm install --no-audit --no-fund --prefix "$out/node"
mkdir -p "$out/java" "$out/rust-source"
try java mvn -q -B -f tests/peers/java/pom.xml dependency:build-classpath \
  "-Dmdep.outputFile=$out/java/classpath"
# Cargo writes its lock file beside the manifest.
cp -r tests/peers/rust/. "$out/rust-source"
try rust cargo build --release --manifest-path "$out/rust-source/Cargo.toml" \
  --target-dir "$out/rust"
