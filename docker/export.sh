#!/bin/sh
# Makes engines in /repository, beside the files that are written by hand.
set -eu

cp -R /opt/model_repository/. /repository/

# Packs lie with the downloads they are made of, so that their weights need not be copied.
exec maquette export --repository=/repository "--packs=$HF_HOME/packs" "$@"
