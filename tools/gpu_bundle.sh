#!/usr/bin/env bash
# tools/gpu_bundle.sh BUILD FOLDER [VENV]
#
# Makes FOLDER and FOLDER.tar.gz, which a machine with a GPU needs to test and measure lossd.
# They hold the programs, their libraries without glibc's, compute-sanitizer if VENV has it
# (tools/requirements-sanitizer.txt), and run.sh. Programs of the preset cuda look for
# libraries in lib. They contain the CUDA runtime; the machine provides the driver.
set -euo pipefail
build=$1
folder=$2
venv=${3:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=(server/lossd client/lossbench bench/kernels/gpu_bench bench/pipeline/pipeline_bench
          tests/lossd_{kernel,server,gpu}_tests)

rm -rf "$folder" "$folder.tar.gz"
mkdir -p "$folder/bin" "$folder/lib/c++"
for program in "${programs[@]}"; do
  strip -o "$folder/bin/${program##*/}" "$build/$program"
done
chmod +x "$folder"/bin/*
cp bench/{gpu_bench,gpu_torch,torch_formulas}.py "$folder/bin"
cp tools/gpu_run.sh "$folder/run.sh"

# glibc's libraries must be the machine's, because they belong to its loader.
libraries=$(ldd "${programs[@]/#/$build/}")
if missing=$(grep 'not found' <<< "$libraries"); then
  echo "missing libraries: $missing" >&2
  exit 1
fi
awk '$2 == "=>" && $3 ~ /^\// { print $3 }' <<< "$libraries" | sort -u |
  grep -vE '/(ld-linux[^/]*|lib(c|m|mvec|dl|rt|pthread|resolv|util|anl|nss[^/]*))\.so' |
  xargs cp -L -t "$folder/lib"
# run.sh uses these where the machine's C++ library is missing or older.
mv "$folder"/lib/{libstdc++,libgcc_s}.so* "$folder/lib/c++"
if sanitizer=$(compgen -G "$venv/lib/python3*/site-packages/nvidia/cu13/compute-sanitizer"); then
  mkdir "$folder/compute-sanitizer"
  find "$sanitizer" -maxdepth 1 -type f -exec cp -t "$folder/compute-sanitizer" {} +
  cp "$sanitizer"/../../../nvidia_cuda_sanitizer_api-*/licenses/License.txt "$folder/compute-sanitizer"
  chmod +x "$folder"/compute-sanitizer/{compute-sanitizer,TreeLauncher*}
fi
tar -czf "$folder.tar.gz" -C "$(dirname "$folder")" "$(basename "$folder")"
