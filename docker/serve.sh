#!/bin/sh
# Starts Triton over the engines in /repository.
set -eu

# The exporter writes this file last.
if [ ! -e /repository/render/1/pack.json ]; then
    echo "No finished export in /repository. Run the export service first; docker/README.md says how." >&2
    exit 1
fi

# The volume outlives the image, so what is written by hand comes from the image each time. It holds
# none of what commands and the gateway write: aliases, history, configs of what is held.
cp -R /opt/model_repository/. /repository/

# Which of the models' configs goes with these engines, the exporter said.
config=$(python3 -c '
import json
print(json.load(open("/repository/render/1/pack.json"))["model_config"])')

# Which models there are, and the configs that hold them to the champions and those before them. The
# gateway has candidates loaded, through Triton's control of models.
set --
models=$(python3 -m versions.served /repository "$config")
for name in $models; do
    set -- "$@" "--load-model=$name"
done

exec tritonserver \
    --model-repository=/repository \
    --model-control-mode=explicit \
    "$@" \
    --model-config-name=served \
    --rate-limit=execution_count \
    --strict-readiness=false \
    --grpc-port=8001 \
    --http-port=8000 \
    --allow-metrics=true \
    --metrics-port=8002 \
    --exit-timeout-secs=20
