#!/bin/sh
# Makes engines beside the files that are written by hand: in /repository, which Triton serves, or in
# another folder, from which versions are published.
set -eu

repository=${MAQUETTE_REPOSITORY:-/repository}
mkdir -p "$repository"
cp -R /opt/model_repository/. "$repository/"

# Packs lie with the downloads they are made of, so that their weights need not be copied.
exec maquette export "--repository=$repository" "--packs=$HF_HOME/packs" "$@"
