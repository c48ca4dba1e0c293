# An image of the service. It was not built where it was written (no Docker engine there): unproven until you build it.
#
#   docker build -t babelens .
#   docker run --rm -p 8000:8000 -v "$PWD/model:/model:ro" --read-only --tmpfs /tmp --cap-drop ALL \
#       --security-opt no-new-privileges --memory 4g babelens
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# An index of builds of torch for a processor or for a CUDA version, where pip's own brings another than is wanted:
# --build-arg TORCH_INDEX=... with the address that PyTorch's site names.
ARG TORCH_INDEX=

WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY recipes recipes
COPY babelens babelens
RUN pip install -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && pip install -c constraints.txt '.[serve]' \
    && rm -rf /build/*

RUN useradd --system --uid 10001 --no-create-home babelens
USER 10001
WORKDIR /
ENV HF_HUB_OFFLINE=1 BABELENS_MODEL=/model BABELENS_HOST=0.0.0.0 BABELENS_PORT=8000
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
# The first process of a container gets the signals: SIGTERM drains.
ENTRYPOINT ["babelens", "serve"]
