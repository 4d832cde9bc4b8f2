# ringdown, with espeak-ng as its voice.
#   docker build -t ringdown .
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay with the builder; only the binary goes on.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin ringdown \
 && cp target/release/ringdown /ringdown

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates espeak-ng tzdata wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/ringdown --shell /usr/sbin/nologin ringdown \
 && install -d -o ringdown -g ringdown /etc/ringdown /var/lib/ringdown /var/lib/ringdown/sounds
COPY --from=build /ringdown /usr/local/bin/ringdown

# By number, so that Kubernetes' runAsNonRoot can see it.
USER 10001:10001
WORKDIR /var/lib/ringdown
VOLUME /var/lib/ringdown
# 8080 HTTP, 4573 FastAGI. FastAGI has neither encryption nor a password: for the PBX alone.
EXPOSE 8080 4573
# Alive, not ready: a PBX that is down must not make an orchestrator kill ringdown.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["/usr/local/bin/ringdown"]
CMD ["serve"]
