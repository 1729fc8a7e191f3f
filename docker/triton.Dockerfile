# NVIDIA's server twice: `triton` serves the models, `export` makes their engines. A TensorRT engine
# fits only the TensorRT and the GPU it was made with, so both targets share one base.
# 25.07 mends CVE-2025-23310, -23311, -23319, -23320 and -23334, which its HTTP door had. To pin it
# for good, give what `docker buildx imagetools inspect` says: …:25.07-py3@sha256:…
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:25.07-py3

FROM ${TRITON_IMAGE} AS triton

# The Python models find their packages through the python3 that is first on PATH.
ENV PATH=/opt/maquette/bin:$PATH

RUN --mount=type=bind,target=/src,rw \
    python3 -m virtualenv /opt/maquette \
    && /opt/maquette/bin/pip install --no-cache-dir --constraint /src/requirements.lock \
        '/src[models]' \
    # A new volume takes its owner from the folder that it covers.
    && install --directory --owner=1000 --group=1000 /repository /var/cache/tensorrt

COPY model_repository /opt/model_repository
COPY docker/serve.sh /opt/serve.sh

# The base image's own user for this, triton-server.
USER 1000:1000

# Large engines take minutes to load, and onnxruntime_tensorrt compiles them then.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --start-interval=5s \
    CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8000/v2/health/ready"]
CMD ["/opt/serve.sh"]


FROM triton AS export

# The version that the base image serves with.
ARG TENSORRT_VERSION=10.11.0.33

USER 0:0
RUN --mount=type=bind,target=/src,rw \
    /opt/maquette/bin/pip install --no-cache-dir --constraint /src/requirements.lock \
        '/src[export,gateway,tensorrt]' "tensorrt==${TENSORRT_VERSION}" \
    && install --directory --owner=1000 --group=1000 /var/cache/huggingface /exported
USER 1000:1000

ENV HF_HOME=/var/cache/huggingface
HEALTHCHECK NONE
COPY docker/export.sh /opt/export.sh
ENTRYPOINT ["/opt/export.sh"]
CMD ["--help"]
