# A server with its page: docker build -t tabswarm . && docker run -p 8080:8080 -v tabswarm-data:/data tabswarm
# The page and both wasm modules are built by the same command as everywhere, then the server that embeds them.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl xz-utils \
    && rm -rf /var/lib/apt/lists/*
COPY --from=node:22-bookworm-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=node:22-bookworm-slim /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
WORKDIR /source
COPY . .
RUN cargo xtask web \
    && cargo build --release --locked --package tabswarm-server --package tabswarm-client-native

FROM debian:bookworm-slim
# Certificates, for snapshots in a bucket.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data tabswarm \
    && install --directory --owner tabswarm --mode 0700 /data
COPY --from=build /source/target/release/tabswarm /source/target/release/tabswarm-worker /usr/local/bin/
COPY --from=build /source/runs /usr/share/tabswarm/runs
USER tabswarm
WORKDIR /data
VOLUME /data
ENV TABSWARM_DATA_DIR=/data TABSWARM_DATASETS_DIR=/datasets TABSWARM_LISTEN=0.0.0.0:8080
# The admin listener stays inside: docker exec CONTAINER tabswarm run list
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["tabswarm", "run", "list"]
ENTRYPOINT ["tabswarm"]
CMD ["serve", "--log-format", "json"]
