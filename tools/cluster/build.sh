#!/usr/bin/env bash
# Builds what ./dev cluster runs into build/cluster: the parts of Kubernetes and CoreDNS from
# their Go modules, and the images that nodes have. The first time takes half an hour or more.
#
#   tools/cluster/build.sh [IMAGE]   IMAGE is a file of `docker save` with lossd:latest; without
#                                    it, deploy/image.sh builds the image
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly OUT=$PWD/build/cluster IMAGE=${1:-}
# The parts of Kubernetes are modules of their own, of the same release.
readonly KUBERNETES=v1.37.2 PARTS=v0.37.2 COREDNS=v1.15.0
# A line of go.mod that holds a module of Kubernetes' build at its version there.
readonly REPLACEMENT='{{if not .Main}}{{.Path}} => {{with .Replace}}{{.Path}} {{.Version}}{{else}}{{.Path}} {{.Version}}{{end}}{{end}}'
# Kubernetes' own build links the version into its programs, too. Helm asks for it.
readonly VERSION=k8s.io/component-base/version
MINOR=${KUBERNETES#v1.}
readonly LINK="-s -X $VERSION.gitVersion=$KUBERNETES -X $VERSION.gitMajor=1 -X $VERSION.gitMinor=${MINOR%%.*}"
export GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0
mkdir -p "$OUT/bin" "$OUT/kubernetes" "$OUT/dns" "$OUT/images"

say() { echo "cluster: $*"; }
fail() { say "$*" >&2; exit 1; }

# The module k8s.io/kubernetes names its parts by folders that only its repository has.
kubernetes_module() {
  local source
  source=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES" |
    sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
  printf 'module lossd.example/kubernetes\n\n'
  grep -E '^(go|godebug) ' "$source"
  printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$KUBERNETES"
  awk -v version="$PARTS" '$1 ~ /^k8s.io/ && $2 == "v0.0.0" { print "\t" $1 " => " $1, version }' \
    "$source"
  printf ')\n'
}

build_kubernetes() {
  local program
  kubernetes_module > "$OUT/kubernetes/go.mod"
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet; do
    [[ -x $OUT/bin/$program ]] && continue
    say "building $program"
    (cd "$OUT/kubernetes" &&
      go build -buildvcs=false -ldflags="$LINK" -o "$OUT/bin/" "k8s.io/kubernetes/cmd/$program")
  done
}

# CoreDNS takes Kubernetes' versions of what both need, so that it is compiled once.
build_dns() {
  [[ -x $OUT/bin/dns ]] && return
  say "building CoreDNS"
  cp tools/cluster/dns/main.go "$OUT/dns/"
  {
    printf 'module lossd.example/dns\n\n'
    grep -E '^(go|godebug) ' "$OUT/kubernetes/go.mod"
    printf '\nrequire github.com/coredns/coredns %s\n\nreplace (\n' "$COREDNS"
    (cd "$OUT/kubernetes" && go list -m -f "$REPLACEMENT" all)
    printf ')\n'
  } > "$OUT/dns/go.mod"
  (cd "$OUT/dns" && go build -buildvcs=false -ldflags=-s -o "$OUT/bin/dns" .)
}

# The container that holds a pod's namespaces.
build_pause() {
  local root=$OUT/images/pause
  rm -rf "$root" && mkdir -p "$root"
  gcc -Os -static -o "$root/pause" tools/cluster/pause.c
  tools/cluster/image.py "$OUT/images/pause.tar" lossd.example/pause:1 "$root" /pause
}

build_lossd_image() {
  if [[ -n $IMAGE ]]; then
    cp "$IMAGE" "$OUT/images/lossd.tar"
    return
  fi
  [[ -f $OUT/images/lossd.tar ]] && return
  deploy/image.sh --build
  if docker info > /dev/null 2>&1; then
    docker save -o "$OUT/images/lossd.tar" lossd:latest
  elif podman info > /dev/null 2>&1; then
    podman save -o "$OUT/images/lossd.tar" lossd:latest
  else
    buildah --root build/image/storage --runroot build/image/run --storage-driver vfs \
      push lossd:latest "docker-archive:$OUT/images/lossd.tar:lossd:latest"
  fi
}

command -v go > /dev/null || fail "Go is missing"
build_kubernetes
build_dns
build_pause
build_lossd_image
