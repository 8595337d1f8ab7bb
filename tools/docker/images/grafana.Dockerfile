# Stands in for grafana/grafana where no registry is reached: see grafana_stand_in.py.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-yaml \
 && rm -rf /var/lib/apt/lists/*
COPY grafana_stand_in.py /
# Grafana's own user.
USER 472:0
ENTRYPOINT ["python3", "/grafana_stand_in.py"]
