# Shoal's image: one static program, certificates, two empty folders, and nothing else. `docker build .` makes it, with BuildKit or without.
#
#   docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 \
#     --build-arg VERSION=1.2.3 --build-arg REVISION=$(git rev-parse HEAD) --build-arg CREATED=$(date -u +%FT%TZ) .

# The first two stages run on the machine that builds, and compile for others. The classic builder does not tell which that is: for it,
# "linux" means this one, and an empty TARGET... as well.
FROM --platform=${BUILDPLATFORM:-linux} node:22-bookworm-slim AS assets
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/assets.sh ./
RUN ./assets.sh

FROM --platform=${BUILDPLATFORM:-linux} golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=assets /src/web/static/lib web/static/lib
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
ARG TARGETVARIANT
# timetzdata: a scratch image has no time zones. The folders may be written by any user, as the container may be started as any: only
# their first content decides whose they are.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    go build -trimpath -tags timetzdata -ldflags "-s -w -X main.release=$VERSION" -o /out/appliance ./cmd/appliance && \
    mkdir -p /out/folders/data /out/folders/cache && chmod 777 /out/folders/*

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A new volume gets owner and mode of the folder that it is mounted on.
COPY --from=build --chown=65532:65532 /out/folders/ /
COPY --from=build /out/appliance /src/LICENSE /
ENV SHOAL_DATA_DIR=/data SHOAL_CACHE_DIR=/cache
VOLUME ["/data", "/cache"]
# NFS with MOUNT and locks, portmapper, web site, peers.
EXPOSE 2049 2049/udp 111 111/udp 4444 42069 42069/udp
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=1m CMD ["/appliance", "healthcheck"]
ENTRYPOINT ["/appliance"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Shoal" \
      org.opencontainers.image.description="BitTorrent torrents as folders over NFS, fetched as they are read" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
