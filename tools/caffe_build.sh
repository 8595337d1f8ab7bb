#!/usr/bin/env bash
# Builds Caffe's Python module from the source package of brocolli-caffe, with Debian's libraries:
# tools/caffe_build.sh PYTHON FOLDER. The module is FOLDER/source/python afterwards. PYTHON is
# Debian's, with NumPy 1 and the packages of tools/requirements-caffe.txt. ./dev caffe installs
# what the script needs.
#
# The package's own setup.py works with conda and Python 3.7 to 3.9 alone.
set -euo pipefail

python=$1
folder=$2
version=9.0.2
[[ ! -e $folder/built ]] || exit 0
rm -rf "$folder"
mkdir -p "$folder/links" "$folder/source"
"$python" -m pip download --quiet --no-deps --no-binary :all: --no-build-isolation \
  --dest "$folder" "brocolli-caffe==$version"
tar -xzf "$folder/brocolli-caffe-$version.tar.gz" --strip-components=1 -C "$folder/source"

# Its tests need a gtest that the package lacks.
sed -i '/add_subdirectory(test)/d' "$folder/source/src/caffe/CMakeLists.txt"
# In a unity build, macros of one file reach the next.
printf '\n#undef INF\n#undef verbose\n' >> "$folder/source/src/caffe/3rdparty/hungarian.cpp"

abi=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
libraries=/usr/lib/$(gcc -print-multiarch)
ln -s "$libraries/libboost_python$abi.so" "$folder/links/libboost_python.so"
ln -s "$libraries/hdf5/serial/libhdf5.so" "$libraries/hdf5/serial/libhdf5_hl.so" "$folder/links"
numpy=$("$python" -c 'import numpy; print(numpy.get_include())')
# The option BUILD_python_layer does not reach the compiler. The others silence Boost's notes.
definitions="-DWITH_PYTHON_LAYER -DBOOST_BIND_GLOBAL_PLACEHOLDERS -DBOOST_ALLOW_DEPRECATED_HEADERS"
cmake -G Ninja -S "$folder/source" -B "$folder/build" \
  -DCMAKE_BUILD_TYPE=None -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=20 \
  -DANACONDA_HOME=/usr -DPYTHON_VERSION="python${abi:0:1}.${abi:1}" \
  -DCMAKE_CXX_FLAGS="-O1 -w $definitions -I$numpy -I/usr/include/hdf5/serial" \
  -DCMAKE_SHARED_LINKER_FLAGS="-L$PWD/$folder/links" > "$folder/cmake.log" ||
  { cat "$folder/cmake.log"; exit 1; }
cmake --build "$folder/build" -j "${CAFFE_JOBS:-$(nproc)}" --target pycaffe
touch "$folder/built"
