#!/bin/sh
# Render over HTTP: curl.sh [OUT.png]
set -eu

server=http://${MAQUETTE_HTTP:-127.0.0.1:8034}
sketch=$(dirname "$0")/../sketches/town-house.png
out=${1:-render.png}

call() {
    curl --silent --show-error --fail-with-body \
        ${MAQUETTE_API_KEY:+--header "Authorization: Bearer $MAQUETTE_API_KEY"} "$@"
}

# In one call: the body is the picture, and the headers tell how it came about.
style=$(call "$server/generate" \
    --form "file=@$sketch" \
    --form "prompt=futuristic neon city at night" \
    --form num_inference_steps=8 \
    --output "$out" --write-out '%header{x-retrieved-style}')

# In its own time: begin it, follow its events as they happen, and fetch what came of it.
render=$(call "$server/v1/renders" \
    --form "sketch=@$sketch" \
    --form "prompt=a white villa in winter" \
    --form num_inference_steps=8 \
    --header "Prefer: respond-async" \
    --output /dev/null --write-out '%header{location}')
steps=$(call --no-buffer "$server$render/events" | grep -c '^event: progress')
call "$server$render/images/0" --output "${out%.png}-2.png"

echo "$out in the style $style, and ${out%.png}-2.png, which told $steps times how far it was"
