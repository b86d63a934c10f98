# syntax=docker/dockerfile:1

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:24-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY migrations ./migrations
COPY config/ready ./config/ready
COPY package.json README.md LICENSE ./
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8700/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# A container is reached from outside: give keys in the configuration (a bind beyond loopback without keys refuses to start).
ENTRYPOINT ["node", "--max-semi-space-size=16", "--heap-growing-percent=100", "--no-parallel-scavenge", "--v8-pool-size=1", "dist/cli/main.js"]
CMD ["serve", "--config", "/data/fulgurite.yaml", "--host", "0.0.0.0", "--data", "/data"]
