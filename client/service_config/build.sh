#!/usr/bin/env bash
# Builds the samples of Go, Node and Java into build/service_config, where
# tests/e2e/test_service_config.py finds them. A language without its tools is left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/service_config

build_go() {
  mkdir -p "$out/go" && cp -r client/service_config/go/. "$out/go"
  export GOBIN=$out/bin GOFLAGS=-mod=mod
  go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.31.0
  go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0
  protoc -I proto --plugin="$out/bin/protoc-gen-go" --plugin="$out/bin/protoc-gen-go-grpc" \
    --go_out="$out/go" --go_opt=module=lossd \
    --go-grpc_out="$out/go" --go-grpc_opt=module=lossd proto/lossd/v1/*.proto
  (cd "$out/go" && go mod tidy && go build -o retry .)
}

build_node() {
  mkdir -p "$out/node" && cp client/service_config/node/* "$out/node"
  npm install --silent --prefix "$out/node"
}

build_java() {
  mkdir -p "$out/java" && cp -r client/service_config/java/. "$out/java"
  mvn -q -B -f "$out/java/pom.xml" -Dprotos="$PWD/proto" package
}

for language in go:go node:npm java:mvn; do
  if command -v "${language#*:}" > /dev/null; then
    "build_${language%:*}"
  else
    echo "there is no ${language#*:}: the sample for ${language%:*} is left out"
  fi
done
