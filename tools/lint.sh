#!/usr/bin/env bash
# Runs every check that reads the tree without running lossd. ./dev lint installs the tools.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/venv/bin
failed=()

check() { # check NAME COMMAND...
  printf '%-14s' "$1"
  if output=$("${@:2}" 2>&1); then echo ok; else
    echo FAILED
    printf '%s\n' "$output"
    failed+=("$1")
  fi
}

cpp_files() { git ls-files '*.h' '*.cc' '*.cu' '*.cuh'; }

no_long_files() {
  local long
  long=$(git ls-files '*.h' '*.cc' '*.cu' '*.cuh' '*.py' '*.sh' dev | xargs wc -l |
    awk '$2 != "total" && $1 > 400')
  [[ -z $long ]] || { echo "over 400 lines:"; echo "$long"; return 1; }
}

# Compares the protos with the last release, or with their first commit.
no_breaking_change() {
  local base
  base=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null ||
    git log --diff-filter=A --format=%H -- proto/buf.yaml | tail -1)
  "$bin/buf" breaking proto --against ".git#ref=$base,subdir=proto"
}

# Every source of ours in CI; elsewhere those that differ from the upstream branch, because
# one file takes up to ten seconds. The rest needs a CUDA toolkit, or is compiled by Highway
# once for each instruction set.
tidied_files() {
  local base
  if [[ -n ${CI:-} ]] || ! base=$(git merge-base HEAD '@{upstream}' 2> /dev/null); then
    git ls-files '*.cc' ':!tests'
  else
    git diff --name-only --diff-filter=d "$base" -- '*.cc' ':!tests'
  fi | grep -vE 'vector_kernel.cc|cuda_device.cc|bench/kernels/|pipeline_bench.cc' || true
}

tidy() {
  cmake --preset dev -DLOSSD_PYTHON="$bin/python" > /dev/null
  cmake --build --preset dev --target lossd_protos > /dev/null
  tidied_files | xargs -r -P "$(nproc)" -n 2 clang-tidy -p build/dev --quiet
}

formatted() { cpp_files | xargs clang-format --dry-run -Werror; }
shell() { git ls-files dev '*.sh' .ci/run | xargs shellcheck -x; }
spelling() {
  git ls-files ':!LICENSE' | xargs codespell --ignore-words-list=alow,atleast,crate,deques,alph,inflight,keypair,kinf,simpy,te
}

check clang-format formatted
check whitespace git diff --check "$(git hash-object -t tree /dev/null)" -- ':!LICENSE'
check file-length no_long_files
check house "$bin/python" -m pytest -q tests/house
check buf-lint "$bin/buf" lint proto
check buf-breaking no_breaking_change
check shellcheck shell
check ruff "$bin/ruff" check --quiet .
check ruff-format "$bin/ruff" format --check --quiet .
check mypy "$bin/mypy"
check codespell spelling
check clang-tidy tidy
[[ ${#failed[@]} -eq 0 ]] || { echo "failed: ${failed[*]}"; exit 1; }
