#!/usr/bin/env bash
# Installs the Python client beside the newest PyTorch, TensorFlow, tritonclient and Ray, and runs
# its tests there: tools/python_runtimes.sh [PYTHON...]. It is not part of ./dev test, because each
# environment takes about 10 GB. LOSSD_BINARY_DIR (default build/dev) has the server.
set -euo pipefail
cd "$(dirname "$0")/.."

for python in "${@:-python3}"; do
  venv=build/venv-runtimes-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet torch tensorflow 'tritonclient[grpc]' 'ray[train]' jax scikit-learn pyarrow \
    joblib ml_dtypes mypy pytest scipy types-protobuf matplotlib tqdm expecttest
  before=$("$venv/bin/pip" freeze)
  "$venv/bin/pip" install --quiet --force-reinstall --no-deps ./client/python
  "$venv/bin/pip" install --quiet ./client/python
  "$venv/bin/pip" check
  # The client has changed none of the versions beside it.
  diff <(grep -v '^lossd' <<< "$before") <("$venv/bin/pip" freeze | grep -v '^lossd')
  "$venv/bin/pip" freeze | grep -E '^(torch|tensorflow|tritonclient|ray|protobuf|grpcio|numpy)=='
  # The second import finds its files in memory. A busy machine adds to the time, not to the CPU's.
  for _ in 1 2; do
    "$venv/bin/python" -c 'import time
began, cpu = time.perf_counter(), time.process_time()
import lossd
began, cpu = time.perf_counter() - began, time.process_time() - cpu
print(f"import lossd: {began:.2f} s, {cpu:.2f} s of the CPU")'
  done
  # Each file has a process of its own: PyTorch's Triton ends one that has imported TensorFlow.
  for file in tests/client/python/test_[a-ce-s]*.py tests/client/python/test_types.py \
    tests/e2e/test_python_{client,processes,runtimes}.py tests/e2e/test_stream.py \
    tests/e2e/test_torch_{losses,compiler,bad_input,distributed,substitution,examples}.py \
    tests/e2e/test_{jax,jax_callbacks,jax_examples,keras,keras_compiler,keras_saving}.py tests/e2e/test_ray{,_train}.py; do
    "$venv/bin/python" -m pytest -q -rs -k 'not cuda' "$file"
  done
done
