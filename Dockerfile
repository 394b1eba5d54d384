# What is published is the last stage: Node, a bundled file, its health check and the migrations. For BuildKit and for
# the classic builder:
#   docker build --build-arg VERSION=1.2.3 --build-arg REVISION="$(git rev-parse HEAD)" --tag workos-events-mirror .

FROM node:24-bookworm-slim AS build
# the bundle holds packages of this stage: the SBOM names them
ARG BUILDKIT_SBOM_SCAN_STAGE=true
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# no scripts: nothing that is bundled needs one
RUN npm ci --omit=dev --ignore-scripts
# the bundler alone of all development tools, with the version and checksum of the lock file
RUN npm pkg set "dependencies.esbuild=$(npm pkg get devDependencies.esbuild | tr -d '"')" \
 && npm pkg delete devDependencies \
 && npm install --ignore-scripts
COPY src src
RUN npm run build

# The simulated WorkOS of the demo in docker-compose.yml; no part of what is published.
FROM node:24-bookworm-slim AS simulated-workos
WORKDIR /app
COPY package.json test/support/simulated-*.ts ./
USER 1000:1000
STOPSIGNAL SIGTERM
EXPOSE 4100
ENTRYPOINT ["node", "/app/simulated-api-main.ts", "--host", "0.0.0.0"]

FROM node:24-bookworm-slim
# The heap is mostly at 30 MB. This keeps the whole process below 256 MB, whatever comes; and one arena for all threads
# keeps less of what was freed.
ENV NODE_ENV=production \
    NODE_OPTIONS=--max-old-space-size=128 \
    MALLOC_ARENA_MAX=1
WORKDIR /app
COPY package.json LICENSE THIRD-PARTY-NOTICES.txt ./
COPY migrations migrations
COPY --from=build /build/dist dist
RUN ln -s /app/dist/main.js /usr/local/bin/workos-events-mirror
# by number: Kubernetes can't tell by a name that it is not root
USER 1000:1000
STOPSIGNAL SIGTERM
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "/app/dist/healthcheck.js"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["run"]
ARG VERSION
ARG REVISION
ENV MIRROR_VERSION=$VERSION MIRROR_REVISION=$REVISION
LABEL org.opencontainers.image.title="workos-events-mirror" \
      org.opencontainers.image.description="Mirrors the WorkOS Events API into Postgres" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/node:24-bookworm-slim" \
      org.opencontainers.image.version="${VERSION:-unreleased}" \
      org.opencontainers.image.revision="${REVISION:-unknown}"
