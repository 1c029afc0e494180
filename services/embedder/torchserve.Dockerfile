# TorchServe with our handler, supervised: the models of the store behind HTTP. CPU by default.
#
#   docker build -f services/embedder/torchserve.Dockerfile -t lookalike/torchserve .        all of them: make images
#
# From here to the line of dashes all Dockerfiles of services/ say the same, so that their images share these layers.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# What each extra requires: another line of pyproject.toml leaves the layers below as they are.
FROM ${PYTHON_IMAGE} AS lists
WORKDIR /build
COPY pyproject.toml deploy/images/requirements_of.py ./
RUN for extras in core=images,galleries,cli,s3 embedder indexer gateway torch torchserve trainer; do \
        python requirements_of.py "${extras#*=}" >"${extras%%=*}.txt" || exit 1; done

# Of the stages whose names end with -venv nothing is in the image but what is copied from them, at the end.
FROM ${PYTHON_IMAGE} AS builder
# Another package index. Where its URL holds a password, give it as --secret id=pip,src=pip.conf instead.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_CONSTRAINT=/build/build.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt requirements/constraints.txt deploy/images/install.sh ./
RUN python -m venv --without-pip /opt/venv

FROM builder AS core-venv
COPY --from=lists /build/core.txt ./
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    sh install.sh -c constraints.txt -r core.txt

FROM ${PYTHON_IMAGE} AS core
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/var/lib/lookalike \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOOKALIKE_STORAGE__FOLDER=/var/lib/lookalike/store \
    LOOKALIKE_STORAGE__CACHE=/var/lib/lookalike/cache \
    LOOKALIKE_STORAGE__RUNS=/var/lib/lookalike/runs \
    LOOKALIKE_TELEMETRY__LOG_FORMAT=json \
    LOOKALIKE_TELEMETRY__LOG_LEVEL=info
RUN groupadd --gid 10001 lookalike \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/lookalike --shell /usr/sbin/nologin lookalike \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/lookalike
WORKDIR /opt/lookalike
COPY deploy/images/probe.py ./
COPY --from=core-venv /opt/venv /opt/venv
# ----------------------------------------------------------------------------------------------------------------------

# Wheels that are taken before those of an index: --build-context wheels=FOLDER. There are none by default.
FROM scratch AS wheels
COPY requirements/build.txt /

FROM core-venv AS torch-venv
# CPU by default. CUDA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130. Empty: only the usual index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=wheels / /wheels
COPY --from=lists /build/torch.txt ./
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    sh install.sh -c constraints.txt --find-links /wheels ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r torch.txt

FROM torch-venv AS torchserve-venv
COPY --from=lists /build/torchserve.txt ./
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    sh install.sh -c constraints.txt -r torchserve.txt

FROM torchserve-venv AS code-venv
COPY pyproject.toml README.md ./
COPY lookalike lookalike
COPY services services
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    sh install.sh --no-deps .

FROM core AS image
COPY --from=torch-venv /added /
COPY --from=torchserve-venv /added /
COPY --from=code-venv /added /
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lookalike/torchserve" \
      org.opencontainers.image.description="TorchServe, with what the store has registered" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
# With CUDA's torch and the NVIDIA container toolkit: which GPUs, and for what.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LOOKALIKE_TORCHSERVE__HOST=0.0.0.0
EXPOSE 8080 8082
# One supervising process; TorchServe is its child and is told to finish.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "/opt/lookalike/probe.py", "8080", "/ping"]
ENTRYPOINT ["python", "-m", "services.embedder.torchserve"]
