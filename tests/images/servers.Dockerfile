# Stand-ins for the servers beside ours, for tests where their own images cannot be had: Redis of Debian's packages, and
# OpenStack Swift, which speaks S3, from PyPI. Not for production.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}
ARG PIP_INDEX_URL
# hadolint ignore=DL3008
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/servers.txt /opt/swift/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/swift/venv && /opt/swift/venv/bin/pip install -q -r /opt/swift/servers.txt
COPY tests/swift_server.py /opt/swift/
RUN install -d -o 10001 -g 10001 /data
WORKDIR /data
USER 10001:10001
