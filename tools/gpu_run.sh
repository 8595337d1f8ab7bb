#!/usr/bin/env bash
# run.sh [OUT]
#
# Tests lossd on this machine's GPU, then measures it, and writes into OUT (default: the
# folder out beside this script). It needs an NVIDIA driver (CUDA 13 needs 580 or later), and
# Python 3 for all measurements but the kernels'. It takes about five minutes, at most ten.
# It ends with 0 if the tests passed and every measurement that this machine allows was made.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/out}
mkdir -p "$out"
end=$((SECONDS + 580))
failed=0

# The machine's own tools need its C++ library, so the bundle's replaces it only where the
# programs do not start with it.
if ldd "$here"/bin/* 2>&1 | grep -q 'not found'; then
  export LD_LIBRARY_PATH=$here/lib/c++${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

fail() {
  echo "FAILED: $*"
  failed=1
}

# within SECONDS COMMAND...: runs the command for at most SECONDS, and not beyond `end`.
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

# find_tool NAME: prints the path of a tool. The machine's comes before the bundle's, because
# it fits the driver.
find_tool() {
  local folder path=$PATH:/usr/local/cuda/bin
  for folder in /opt/nvidia/nsight-compute /opt/nvidia/nsight-compute/*/; do path+=:${folder%/}; done
  PATH=$path:$here/compute-sanitizer command -v "$1"
}

if command -v nvidia-smi > /dev/null; then
  timeout 20 nvidia-smi --format=csv,noheader --query-gpu=name,driver_version,memory.total,pcie.link.gen.max,pcie.link.width.current,clocks.max.sm,clocks.max.mem
  driver=$(timeout 20 nvidia-smi --format=csv,noheader --query-gpu=driver_version | head -n 1)
  if [[ $driver =~ ^[0-9]+ ]] && ((BASH_REMATCH[0] < 580)); then
    echo "this driver is older than 580, which programs of CUDA 13 need"
  fi
fi

# only_skipped REPORT: succeeds if the program skipped every test for lack of a device.
only_skipped() {
  grep -qs '"result": "SKIPPED"' "$1" && ! grep -q '"result": "COMPLETED"' "$1"
}

say "tests on the device"
skipped=0
for tests in lossd_kernel_tests lossd_server_tests lossd_gpu_tests; do
  report=$out/$tests.json
  rm -f "$report"
  within 150 "$here/bin/$tests" --gtest_filter='Gpu*' --gtest_brief=1 --gtest_output="json:$report" ||
    fail "$tests, exit code $?"
  # Skipped tests count as failed here, because they prove nothing.
  if ! grep -qs '"result": "COMPLETED"' "$report" || grep -q '"result": "SKIPPED"' "$report"; then
    fail "$tests did not run on a device"
    only_skipped "$report" && ((++skipped))
  elif ! grep -q '"failures": [1-9]' "$report"; then
    rm "$report"
  fi
done
# Without a device nothing below can work, and CUDA's tools would report misleading errors.
if ((skipped == 3)); then
  say "FAILED: there is no device that CUDA can use"
  exit 1
fi
((failed)) && echo "the run goes on with the measurements"

say "measurements"
if command -v python3 > /dev/null; then
  within 330 python3 -u "$here/bin/gpu_bench.py" --bundle "$here" --out "$out" |
    tee "$out/table.txt" || fail "not everything was measured"
else
  echo "there is no python3: only the kernels are measured, as JSON"
  within 180 "$here/bin/gpu_bench" > "$out/kernels.json" || fail "gpu_bench"
fi

# check TOOL PROGRAM TESTS: runs tests of a program under a tool of compute-sanitizer.
check() {
  local log=$out/sanitizer.txt code=0
  echo "-- $1, $2, $3" >> "$log"
  within 60 "$sanitizer" --tool "$1" --error-exitcode 9 "$here/bin/$2" --gtest_brief=1 \
    --gtest_filter="$3" > "$out/now.txt" 2>&1 || code=$?
  cat "$out/now.txt" >> "$log"
  # Some virtual machines do not allow the tool, which is no error of lossd.
  if grep -qiE 'device not supported|debugger.* not supported|insufficient permission' "$out/now.txt"; then
    echo "$1: not run, this machine does not let it"
  elif ((code == 0)) && ! grep -q 'ERROR SUMMARY: 0 errors\|RACECHECK SUMMARY: 0 hazards' "$out/now.txt"; then
    fail "$1 of $2 reported nothing: see $log"
  elif ((code != 0)); then
    tail -n 4 "$out/now.txt"
    fail "$1 of $2, exit code $code: see $log"
  else
    echo "$1 of $2: no errors"
  fi
  rm -f "$out/now.txt"
}

say "memory errors and races"
if sanitizer=$(find_tool compute-sanitizer); then
  rm -f "$out/sanitizer.txt"
  fast=GpuKernels.GiveTheBitsOfTheCpuInEveryFastVariant
  for tool in memcheck initcheck synccheck; do
    check "$tool" lossd_kernel_tests "$fast:GpuKernels.GiveTheBitsOfTheCpuForEveryHalfLogit"
  done
  check racecheck lossd_kernel_tests GpuKernels.GiveTheBitsOfTheCpuForEveryEntryOfTheTable
  check memcheck lossd_server_tests GpuTest.SlotsThatOverlapDoNotDisturbEachOther
else
  echo "not run: no compute-sanitizer on PATH, in /usr/local/cuda/bin or beside this script"
fi

# profile FILE OPTION...: writes the profiler's report on the two main kernels to FILE.
profile() {
  local file=$1
  shift
  within 60 "$ncu" --clock-control none --kernel-name 'regex:ComputePlain|ComputeLookedUp' "$@" \
    "$here/bin/gpu_bench" --once > "$file" 2>&1 && ! grep -q '^==ERROR==' "$file"
}

say "profile"
if ncu=$(find_tool ncu); then
  if profile "$out/profile.txt" --section SpeedOfLight --section Occupancy --section LaunchStats \
    --section MemoryWorkloadAnalysis --section ComputeWorkloadAnalysis --section InstructionStats \
    --section WarpStateStats; then
    grep -E 'Compute(Plain|LookedUp)|Duration|DRAM Throughput|^ *Memory Throughput +[TG]byte|Compute \(SM\)|(Theoretical|Achieved) Occupancy|Registers Per|Executed Ipc Active' "$out/profile.txt"
    mix=
    for kind in fp32 fp64 integer conversion bit memory control inter_thread_communication misc; do
      mix+=${mix:+,}smsp__sass_thread_inst_executed_op_${kind}_pred_on.sum
    done
    if profile "$out/now.txt" --metrics "$mix"; then
      grep -E 'Compute(Plain|LookedUp)|_pred_on' "$out/now.txt" | tee -a "$out/profile.txt"
    fi
    rm -f "$out/now.txt"
  else
    echo "not profiled: $(grep '^==ERROR==' "$out/profile.txt" | head -n 1)"
  fi
else
  echo "not run: no ncu on PATH, in /usr/local/cuda/bin or in /opt/nvidia/nsight-compute"
fi

if ((failed)); then say "FAILED"; else say "passed"; fi
exit "$failed"
