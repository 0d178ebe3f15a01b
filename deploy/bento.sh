#!/usr/bin/env bash
# Builds the bento gan-service, for the processor (with ONNX Runtime or OpenVINO) or for a GPU, and prints its tag. The same commit gives the same files.
#   deploy/bento.sh cpu|openvino|gpu
set -euo pipefail
cd "$(dirname "$0")/.."
bentoml=${BENTOML:-.venv/bin/bentoml}
mkdir -p build
# What bentofile.yaml takes, and what makes a bento of it; the models beside those it carries change nothing.
mapfile -t contents < <(sed -n 's|^  - "/\{0,1\}\([^"]*\)".*|:(glob)\1|p' bentofile.yaml)
contents+=(bentofile.yaml README.md deploy)

version=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain -- "${contents[@]}")" ] || version+=-changed
arguments=()
[ "$1" = cpu ] || { version+=-$1; arguments+=(--arg "kind=$1"); }
tag=gan-service:$version

folder=${BENTOML_HOME:-$HOME/bentoml}/bentos/${tag/://}
[ ! -d "$folder" ] || "$bentoml" delete --yes "$tag" > build/bento.log 2>&1 || true # of an earlier build
"$bentoml" build --version "$version" "${arguments[@]}" --output tag > build/bento.log 2>&1 ||
    { cat build/bento.log >&2; exit 1; }
# The one thing that BentoML takes from the clock
made=$(git show --no-patch --format=%cI HEAD)
sed -i "s/^creation_time: .*/creation_time: '$made'/" "$folder/bento.yaml"
echo "$tag"
