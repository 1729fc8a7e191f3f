FROM python:3.12-slim-bookworm AS build

# `serving` has what an engine is tried with before it is published.
RUN --mount=type=bind,target=/src,rw \
    python -m venv /opt/maquette \
    && /opt/maquette/bin/pip install --no-cache-dir --constraint /src/requirements.lock \
        '/src[gateway,serving]'


FROM python:3.12-slim-bookworm

COPY --from=build /opt/maquette /opt/maquette
ENV PATH=/opt/maquette/bin:$PATH \
    MAQUETTE_HOST=0.0.0.0 \
    MAQUETTE_LIBRARY=/var/lib/maquette \
    MAQUETTE_KEYS=/var/lib/maquette/keys.json

# A new volume takes its owner from the folder that it covers. The user is Triton's, in whose
# repository the gateway writes which versions are held.
RUN install --directory --owner=1000 --group=1000 /var/lib/maquette /repository /exported
USER 1000:1000

EXPOSE 8033 8034
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=2s \
    CMD ["python", "-m", "gateway.healthcheck"]
CMD ["python", "-m", "gateway"]
