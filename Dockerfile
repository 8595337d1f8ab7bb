# The image contains lossd and, as its health probe, lossctl. `./dev image` builds and tries
# it (deploy/image.sh). The build needs BuildKit, which Docker 23 and later use by themselves.

FROM debian:bookworm-slim AS build
# PRESET=cuda adds the CUDA backend, for `docker run --gpus all` (./dev image --cuda). The
# program contains the CUDA runtime, and the host provides the driver.
ARG PRESET=release
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ccache cmake g++ libabsl-dev libbenchmark-dev libcurl4-openssl-dev libgrpc++-dev libhwy-dev \
      libmicrohttpd-dev libminizip-dev libprotobuf-dev libspdlog-dev libssl-dev ninja-build \
      nlohmann-json3-dev pkg-config prometheus-cpp-dev protobuf-compiler \
      protobuf-compiler-grpc python3-venv zlib1g-dev
WORKDIR /src
COPY . .
# The engine keeps what was compiled, so that a build after a change compiles only that.
RUN --mount=type=cache,id=lossd-ccache,target=/root/.cache/ccache \
    export LANG=C.UTF-8 CCACHE_DIR=/root/.cache/ccache CCACHE_BASEDIR=/src CCACHE_NOHASHDIR=1 \
 && if [ "$PRESET" = cuda ]; then CUDACXX=$(cmake/cuda_toolkit.sh) && export CUDACXX; fi \
 && cmake --preset "$PRESET" -DBUILD_TESTING=OFF \
 && ninja -C "build/$PRESET" lossd lossctl \
 && install -s -D -t /built "build/$PRESET/server/lossd" "build/$PRESET/client/lossctl"
# This lists the packages that own the shared libraries of the two programs. The list is
# computed, so that nobody maintains it. Its entries are installed as packages, so that
# scanners and security updates see them.
RUN ldd /built/lossd /built/lossctl \
      | awk '$3 ~ /^\// { print $3 }' | sort -u | xargs -n1 readlink -f | sort -u \
      | while read -r library; do \
          dpkg -S "$library" 2>/dev/null || dpkg -S "${library#/usr}"; \
        done | cut -d: -f1 | sort -u > /runtime-packages \
 && test -s /runtime-packages

FROM debian:bookworm-slim
COPY --from=build /runtime-packages /usr/share/lossd/runtime-packages
RUN apt-get update \
 && xargs apt-get install -y --no-install-recommends \
      < /usr/share/lossd/runtime-packages \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lossd
COPY --from=build /built/lossd /built/lossctl /usr/local/bin/

# The user is a number because Kubernetes' runAsNonRoot cannot check a name.
USER 10001:10001
# LOSSD_<FLAG> sets a flag. In a container, other hosts must reach the metrics too.
ENV LOSSD_LISTEN=0.0.0.0:50051 LOSSD_METRICS_LISTEN=0.0.0.0:9464
# NVIDIA's container runtime reads these variables; other runtimes ignore them.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 50051 9464
# SIGTERM starts the drain. The time to stop must be longer than --drain_timeout.
STOPSIGNAL SIGTERM
# Set LOSSCTL_FLAGS, for example to --target=... or --tls_ca=..., if the server has another
# address or uses TLS.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD lossctl health --timeout=4s ${LOSSCTL_FLAGS:---target=127.0.0.1:50051}
ENTRYPOINT ["/usr/local/bin/lossd"]
