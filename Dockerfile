# One image for every process of trueup; docker-compose.yml says which container runs which.

FROM node:20.20.2-bookworm-slim AS frontend
WORKDIR /build/dashboards/frontend
COPY dashboards/frontend/package.json dashboards/frontend/package-lock.json dashboards/frontend/.npmrc ./
# No script of a package runs here: what is bundled needs none.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY dashboards/frontend ./
RUN npm run build

FROM python:3.11.14-slim-bookworm AS packages
WORKDIR /build
COPY requirements.lock ./
# The hashes are held here, once. What is installed later comes from these files and from no index.
RUN pip download --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock --dest /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY docs/rules docs/rules
COPY cdc cdc
COPY clickhouse clickhouse
COPY dashboards dashboards
COPY reconcile reconcile
COPY streams streams
COPY trueup trueup
COPY --from=frontend /build/dashboards/static dashboards/static
RUN python -m hatchling build --target wheel --directory /dist
# The lock has what tests need as well; only what trueup itself requires goes into the image.
RUN python -m venv /opt/trueup && /opt/trueup/bin/pip install --no-cache-dir --no-index --find-links /wheels /dist/*.whl

FROM python:3.11.14-slim-bookworm
# Pango and a font for PDF reports.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fontconfig fonts-noto-cjk libpango-1.0-0 libpangoft2-1.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/trueup --shell /usr/sbin/nologin trueup \
    && install --directory --owner=trueup --group=trueup --mode=0755 /var/lib/trueup
COPY --from=packages /opt/trueup /opt/trueup
ENV PATH=/opt/trueup/bin:$PATH PYTHONUNBUFFERED=1 TRUEUP_DATA_DIR=/var/lib/trueup MPLCONFIGDIR=/tmp/matplotlib
USER trueup
WORKDIR /var/lib/trueup
VOLUME /var/lib/trueup
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "trueup.healthy", "http://127.0.0.1:9100/readyz"]
ENTRYPOINT ["trueup"]
