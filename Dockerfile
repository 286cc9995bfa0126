# Two images: `service` (the product, the default) and `chain` (the dev chain of docker-compose.yml).

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/ requirements/
RUN python -m venv /build/tools \
 && /build/tools/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt \
 && python -m venv /opt/custody \
 && /opt/custody/bin/pip install --require-hashes --only-binary :all: -r requirements/service.txt
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
RUN /build/tools/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /build/wheels . \
 && /opt/custody/bin/pip install --no-deps --no-index /build/wheels/*.whl

FROM node:22-bookworm-slim AS chain
WORKDIR /opt/chain
COPY tools/devnode/package.json tools/devnode/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
USER node
ENTRYPOINT ["/opt/chain/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"]

# Nothing is kept in the image or beside it but the master key, on a volume that only the scanner and `init` are given.
FROM python:3.13-slim-bookworm AS service
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin custody \
 && install --directory --owner custody --mode 0700 /keys
COPY --from=build /opt/custody /opt/custody
ENV PATH=/opt/custody/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 8000
ENTRYPOINT ["custody"]
CMD ["--help"]
