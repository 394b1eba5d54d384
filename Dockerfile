# Everything that runs is one bundled file, the migrations and Node itself.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# no scripts: nothing that is bundled needs one, and the tools that do are not wanted here
RUN npm ci --omit=dev --ignore-scripts
RUN esbuild="esbuild@$(node -p 'require("./package.json").devDependencies.esbuild')" \
 && mkdir /esbuild && cd /esbuild && npm install --ignore-scripts "$esbuild"
COPY src src
RUN PATH="/esbuild/node_modules/.bin:$PATH" npm run build

FROM node:24-bookworm-slim
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="workos-events-mirror" \
      org.opencontainers.image.description="Mirrors the WorkOS Events API into Postgres" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY migrations migrations
COPY --from=build /build/dist dist
USER node
STOPSIGNAL SIGTERM
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "const port = process.env.HTTP_PORT || '8080'; if (port !== 'off') fetch(`http://127.0.0.1:${port}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["run"]
