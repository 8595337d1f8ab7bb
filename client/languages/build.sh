#!/usr/bin/env bash
# Builds the clients of Go, Node and Java into build/languages, where tests/e2e finds them:
# client/languages/build.sh. A language whose tools or packages are missing is left out, with the
# reason in build/languages/LANGUAGE.missing. Code that does not compile is an error.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/languages
mkdir -p "$out"

# fetch LANGUAGE COMMAND...: runs what needs a registry; if it fails, the language is left out.
fetch() {
  local language=$1
  shift
  "$@" > "$out/$language.log" 2>&1 && return
  echo "$*: $(tail -n 1 "$out/$language.log")" > "$out/$language.missing"
  return 1
}

build_go() {
  local plugins=$out/bin
  export GOBIN=$plugins GOFLAGS=-mod=mod CGO_ENABLED=0
  # These are the last versions that Debian 12's Go (1.19) can build.
  fetch go go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.31.0 &&
    fetch go go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0 || return 0
  protoc -I proto --plugin="$plugins/protoc-gen-go" --plugin="$plugins/protoc-gen-go-grpc" \
    --go_out="$out/go" --go_opt=module=lossd \
    --go-grpc_out="$out/go" --go-grpc_opt=module=lossd proto/lossd/v1/*.proto
  (cd "$out/go" && fetch go go mod tidy) || return 0
  (cd "$out/go" && go build -o bin/ ./retry ./smoke)
}

build_node() {
  fetch node npm install --no-audit --no-fund --prefix "$out/node" || return 0
}

build_java() {
  local maven=(mvn -q -B -f "$out/java/pom.xml" "-Dprotos=$PWD/proto")
  fetch java "${maven[@]}" generate-sources || return 0
  "${maven[@]}" package > "$out/java.log" 2>&1 || { cat "$out/java.log"; return 1; }
}

# The programs and protos of a language; if they are those of the last build, nothing is done.
for language in go:go node:npm java:mvn; do
  name=${language%:*}
  sum=$(find "client/languages/$name" proto "$0" -type f -print0 2> /dev/null | sort -z |
    xargs -0 cat | sha256sum)
  [[ $(cat "$out/$name.built" 2> /dev/null) == "$sum" ]] && continue
  rm -f "$out/$name.built" "$out/$name.missing"
  rm -rf "${out:?}/$name" && cp -r "client/languages/$name" "$out/$name"
  if command -v "${language#*:}" > /dev/null; then
    "build_$name"
  else
    echo "there is no ${language#*:}" > "$out/$name.missing"
  fi
  if [[ -e $out/$name.missing ]]; then
    echo "the clients of $name are left out: $(cat "$out/$name.missing")"
  else
    echo "$sum" > "$out/$name.built"
  fi
done
