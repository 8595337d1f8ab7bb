#!/usr/bin/env bash
# run.sh [OUT]: tests lossd on this machine's GPU, then measures it; into OUT (default: out,
# beside this script). Needs an NVIDIA driver; Python 3 for all measurements but the kernels'.
# Ends with 0 if the tests passed and everything was measured that this machine can.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/out}
mkdir -p "$out"
failed=0

# Of our programs alone: another program's libraries are its own.
ours() { LD_LIBRARY_PATH=$here/lib "$@"; }

say() { printf '== %s\n' "$*"; }

say "tests on the device"
for tests in lossd_kernel_tests lossd_server_tests; do
  ours timeout 240 "$here/bin/$tests" --gtest_filter='Gpu*' --gtest_brief=1 \
    --gtest_output="json:$out/$tests.json" || failed=1
  # Without a device they skip, which proves nothing here.
  if ! grep -q '"result": "COMPLETED"' "$out/$tests.json" ||
    grep -q '"result": "SKIPPED"' "$out/$tests.json"; then
    echo "FAILED: $tests did not run on a device"
    failed=1
  fi
done

say "memory errors and races"
sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)
if [[ -n $sanitizer ]]; then
  for tool in memcheck racecheck; do
    ours timeout 60 "$sanitizer" --tool "$tool" --error-exitcode 9 "$here/bin/lossd_kernel_tests" \
      --gtest_brief=1 --gtest_filter='GpuKernels.GiveTheBitsOfTheCpuOnEveryPlainPath' ||
      failed=1
  done
else
  echo "not run: no compute-sanitizer on PATH or in /usr/local/cuda/bin"
fi

say "measurements"
if command -v python3 > /dev/null; then
  python3 "$here/bin/gpu_bench.py" --bundle "$here" --out "$out" || failed=1
else
  echo "no python3: the kernels alone, as JSON"
  ours "$here/bin/gpu_bench" > "$out/kernels.json" || failed=1
fi
exit "$failed"
