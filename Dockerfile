# The container image of lossd: server, and lossctl as its health probe.
# Built and tried by deploy/image.sh (./dev image).

FROM debian:bookworm-slim AS build
# cuda: with the CUDA backend, for `docker run --gpus all` (./dev image --cuda). The CUDA
# runtime is in the program, the driver comes from the host.
ARG PRESET=release
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      cmake g++ libabsl-dev libgrpc++-dev libhwy-dev libprotobuf-dev libspdlog-dev \
      libssl-dev libbenchmark-dev ninja-build nlohmann-json3-dev prometheus-cpp-dev \
      protobuf-compiler protobuf-compiler-grpc python3-venv
WORKDIR /src
COPY . .
RUN if [ "$PRESET" = cuda ]; then CUDACXX=$(cmake/cuda_toolkit.sh) && export CUDACXX; fi \
 && cmake --preset "$PRESET" -DBUILD_TESTING=OFF \
 && ninja -C "build/$PRESET" lossd lossctl \
 && install -s -D -t /built "build/$PRESET/server/lossd" "build/$PRESET/client/lossctl"
# The packages that own the shared libraries which the two programs load: computed,
# so that it is never a list to keep, and installed as packages, so that scanners and
# security updates see them.
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

# A number, not a name: Kubernetes' runAsNonRoot cannot check a name.
USER 10001:10001
# Every flag can be set as LOSSD_<FLAG>. In a container, metrics are for others too.
ENV LOSSD_LISTEN=0.0.0.0:50051 LOSSD_METRICS_LISTEN=0.0.0.0:9464
# What NVIDIA's container runtime is to bring in; nothing where there is none.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 50051 9464
# Drains; whoever stops the container must wait longer than --drain_timeout.
STOPSIGNAL SIGTERM
# LOSSCTL_FLAGS: such as --target=... or --tls_ca=... when the server is not at the
# default address or speaks TLS.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD lossctl health --timeout=4s ${LOSSCTL_FLAGS:---target=127.0.0.1:50051}
ENTRYPOINT ["/usr/local/bin/lossd"]
