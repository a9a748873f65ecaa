# syntax=docker/dockerfile:1
# Two stages: the first installs, the second holds Python, the gateway and nothing to build or install with.
# Run: docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v gateway:/var/lib/gateway -p 8080:8080 roaz-gateway
# deploy/compose.yaml runs two of them with PostgreSQL and a proxy.

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Without pip of its own: what is installed into it comes from the pip of this stage, which stays behind.
RUN ["python", "-m", "venv", "--without-pip", "/opt/gateway"]
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY gateway gateway
COPY consent consent
COPY mappings mappings
COPY profiles profiles
RUN ["pip", "--python", "/opt/gateway/bin/python", "install", "--constraint", "requirements.lock", ".[postgresql]"]
RUN ["/opt/gateway/bin/python", "-m", "compileall", "-q", "/opt/gateway/lib"]
RUN ["install", "--directory", "--mode", "0700", "/opt/state"]

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="ROAZ FHIR gateway" \
      org.opencontainers.image.licenses="EUPL-1.2"
RUN ["python", "-m", "pip", "uninstall", "--yes", "pip"]
COPY --from=build /opt/gateway /opt/gateway
# The only directory that is written to: configuration, key ring and, with SQLite, the database.
COPY --from=build --chown=10001:10001 /opt/state /var/lib/gateway
ENV PATH=/opt/gateway/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY__GATEWAY__LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /var/lib/gateway
VOLUME ["/var/lib/gateway"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "region.toml"]
