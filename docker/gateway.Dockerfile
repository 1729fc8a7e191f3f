FROM python:3.12-slim-bookworm AS build

RUN --mount=type=bind,target=/src,rw \
    python -m venv /opt/maquette \
    && /opt/maquette/bin/pip install --no-cache-dir --constraint /src/requirements.lock \
        '/src[gateway]'


FROM python:3.12-slim-bookworm

COPY --from=build /opt/maquette /opt/maquette
ENV PATH=/opt/maquette/bin:$PATH \
    MAQUETTE_HOST=0.0.0.0 \
    MAQUETTE_LIBRARY=/var/lib/maquette \
    MAQUETTE_KEYS=/var/lib/maquette/keys.json

# A new volume takes its owner from the folder that it covers.
RUN install --directory --owner=10001 --group=10001 /var/lib/maquette
USER 10001:10001

EXPOSE 8033 8034
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=2s \
    CMD ["python", "-m", "gateway.healthcheck"]
CMD ["python", "-m", "gateway"]
