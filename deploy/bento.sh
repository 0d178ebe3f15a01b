#!/usr/bin/env bash
# Builds the bento gan-service, for the processor or for a GPU, and prints its tag. The same commit gives the same files.
#   deploy/bento.sh cpu|gpu
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
mkdir -p build
contents=(service.py gan serving deploy models bentofile.yaml LICENSE)

version=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain -- "${contents[@]}")" ] || version+=-changed
arguments=()
[ "$1" = cpu ] || { version+=-$1; arguments+=(--arg gpu=true); }
tag=gan-service:$version

"$bin/bentoml" delete --yes "$tag" > build/bento.log 2>&1 || true # of an earlier build
"$bin/bentoml" build --version "$version" "${arguments[@]}" --output tag > build/bento.log 2>&1 ||
    { cat build/bento.log >&2; exit 1; }
# The one thing that BentoML takes from the clock
made=$(git show --no-patch --format=%cI HEAD)
sed -i "s/^creation_time: .*/creation_time: '$made'/" "$("$bin/bentoml" get "$tag" --output path)/bento.yaml"
echo "$tag"
