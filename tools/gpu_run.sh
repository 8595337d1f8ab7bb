#!/usr/bin/env bash
# run.sh [OUT]: tests lossd on this machine's GPU, measures it, and looks for memory errors
# and races. Results go to OUT (default: out, beside this script). Needs an NVIDIA driver,
# 580 or later with CUDA 13, and Python 3, without which only the kernels are measured.
# Takes about five minutes and never more than ten. Exits with 0 if the tests passed and
# everything was measured that this machine can measure.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/out}
mkdir -p "$out"
end=$((SECONDS + 580))
failed=0

# The machine's C++ library is used if it is new enough, for the sake of the machine's tools.
if ldd "$here"/bin/* 2>&1 | grep -q 'not found'; then
  export LD_LIBRARY_PATH=$here/lib/c++${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

fail() {
  echo "FAILED: $*"
  failed=1
}

# within SECONDS COMMAND...: runs it for at most so long, and not beyond the end.
within() {
  local limit=$1 left=$((end - SECONDS))
  shift
  ((limit < left)) || limit=$left
  if ((limit <= 0)); then
    echo "no time is left"
    return 124
  fi
  timeout -k 5 "$limit" "$@"
}

if command -v nvidia-smi > /dev/null; then
  timeout 20 nvidia-smi --format=csv,noheader --query-gpu=name,driver_version,memory.total
fi

say "tests on the device"
skipped=0
for tests in lossd_kernel_tests lossd_server_tests lossd_gpu_tests; do
  report=$out/$tests.json
  rm -f "$report"
  within 150 "$here/bin/$tests" --gtest_filter='Gpu*' --gtest_brief=1 --gtest_output="json:$report" ||
    fail "$tests, exit code $?"
  # Tests skip without a device, which proves nothing here.
  if ! grep -qs '"result": "COMPLETED"' "$report"; then
    fail "$tests did not run on a device"
    grep -qs '"result": "SKIPPED"' "$report" && ((++skipped))
  elif grep -q '"result": "SKIPPED"' "$report"; then
    fail "$tests did not run on a device"
  fi
done
# Without a device nothing below could say more.
if ((skipped == 3)); then
  say "FAILED: there is no device that CUDA can use"
  exit 1
fi

say "measurements"
if command -v python3 > /dev/null; then
  within 330 python3 -u "$here/bin/gpu_bench.py" --bundle "$here" --out "$out" |
    tee "$out/table.txt" || fail "not everything was measured"
else
  echo "no python3: only the kernels are measured, as JSON"
  within 180 "$here/bin/gpu_bench" > "$out/kernels.json" || fail "gpu_bench"
fi

# check TOOL PROGRAM TESTS: runs them under the sanitizer. It must end with a summary of no
# errors, because some failures of the sanitizer itself exit with 0.
check() {
  local log=$out/$1-$2.txt code=0
  within 60 "$sanitizer" --tool "$1" --error-exitcode 9 "$here/bin/$2" --gtest_brief=1 \
    --gtest_filter="$3" > "$log" 2>&1 || code=$?
  # Some virtual machines do not support it, which says nothing about lossd.
  if grep -qiE 'device not supported|debugger.* not supported|insufficient permission' "$log"; then
    echo "$1: not run, this machine does not let it"
  elif ((code != 0)); then
    fail "$1 of $2, exit code $code: see $log"
  elif ! grep -q 'ERROR SUMMARY: 0 errors\|RACECHECK SUMMARY: 0 hazards' "$log"; then
    fail "$1 of $2 reported nothing: see $log"
  else
    echo "$1 of $2: no errors"
  fi
}

say "memory errors and races"
# The machine's own sanitizer, which fits its driver, else the bundle's.
if sanitizer=$(PATH=$PATH:/usr/local/cuda/bin:$here/compute-sanitizer command -v compute-sanitizer); then
  fast=GpuKernels.GiveTheBitsOfTheCpuInEveryFastVariant
  for tool in memcheck initcheck synccheck; do
    check "$tool" lossd_kernel_tests "$fast:GpuKernels.GiveTheBitsOfTheCpuForEveryHalfLogit"
  done
  check racecheck lossd_kernel_tests GpuKernels.GiveTheBitsOfTheCpuForEveryEntryOfTheTable
  check memcheck lossd_server_tests GpuTest.SlotsThatOverlapDoNotDisturbEachOther
else
  echo "not run: no compute-sanitizer on PATH, in /usr/local/cuda/bin or beside this script"
fi

if ((failed)); then say "FAILED"; else say "passed"; fi
exit "$failed"
