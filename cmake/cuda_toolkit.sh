#!/usr/bin/env bash
# Prints the path of a CUDA compiler that CMake accepts, and installs one if there is none:
#
#   CUDACXX=$(cmake/cuda_toolkit.sh) cmake --preset cuda
#
# It tries $CUDACXX, then an nvcc on PATH, then /usr/local/cuda. The latter two must be CUDA
# 12.8 or later, which compiles for all architectures in CMakeLists.txt. Otherwise it
# installs the compiler and the runtime's headers and static libraries from their Python
# wheels into build/cuda-toolkit, once. That takes about 250 MB and needs neither root nor a
# driver. Standard output has only the path; progress goes to standard error.
set -euo pipefail

version='13.0.*'
packages=(nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime
          nvidia-cuda-cccl nvidia-cuda-culibos)

if [[ -n ${CUDACXX:-} ]] && command -v "$CUDACXX"; then
  exit 0
fi
for nvcc in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
  if [[ ! -x $nvcc ]]; then continue; fi
  release=$("$nvcc" --version | sed -nE 's/.*release ([0-9]+)\.([0-9]+).*/\1 \2/p')
  read -r major minor <<< "${release:-0 0}"
  if ((major * 100 + minor >= 1208)); then
    echo "$nvcc"
    exit 0
  fi
  echo "$nvcc is CUDA $major.$minor, older than 12.8, and is not used" >&2
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$root/build/cuda-toolkit
done_file=$environment/installed-${version//[.*]/_}

if [[ ! -f $done_file ]]; then
  rm -rf "$environment"
  python3 -m venv "$environment" >&2
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    "${packages[@]/%/==$version}" >&2
fi

site=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
toolkit=$site/nvidia/cu13
if [[ ! -f $done_file ]]; then
  # The wheels unpack to bin, include, lib and nvvm. These links add the paths of an
  # installed toolkit, which nvcc's profile and CMake look for.
  mkdir -p "$toolkit/targets/x86_64-linux"
  ln -sfn lib "$toolkit/lib64"
  ln -sfn ../../include "$toolkit/targets/x86_64-linux/include"
  ln -sfn ../../lib "$toolkit/targets/x86_64-linux/lib"
  # The wheel names the shared runtime only by its soname; CMake looks for the plain name.
  ln -sfn libcudart.so.13 "$toolkit/lib/libcudart.so"
  chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
  "$toolkit/bin/nvcc" --version >&2
  touch "$done_file"
fi
echo "$toolkit/bin/nvcc"
