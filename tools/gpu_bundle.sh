#!/usr/bin/env bash
# tools/gpu_bundle.sh BUILD FOLDER: gathers in FOLDER what a machine with a GPU needs to
# test and measure lossd: programs, the libraries that they load but for glibc's own, and
# run.sh. The CUDA runtime is inside the programs; the driver is the machine's.
set -euo pipefail
build=$1
folder=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib"
cp "$build"/tests/lossd_{kernel,server}_tests "$build/kernels/cuda/gpu_bench" \
  "$build/server/lossd" "$build/client/lossbench" "$folder/bin"
cp client/bench/gpu_{bench,torch}.py "$folder/bin"
cp tools/gpu_run.sh "$folder/run.sh"

# glibc's parts belong to the machine: they go with its loader.
ldd "$folder"/bin/{lossd,lossbench,gpu_bench,lossd_kernel_tests,lossd_server_tests} |
  awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|anl))\.so' |
  xargs cp -L -t "$folder/lib"
