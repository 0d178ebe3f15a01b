#!/usr/bin/env bash
# Makes the image that the bento's Dockerfile begins with from Debian's packages, for podman, where no registry of images can be
# reached. Does nothing if the engine has it.
#   deploy/base.sh python:3.11-slim
set -euo pipefail
image=localhost/$1
podman image exists "$image" && exit
[ "$1" = python:3.11-slim ] || { echo "deploy/base.sh makes python:3.11-slim only, since that is Debian 12's Python, not $1" >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "deploy/base.sh needs debootstrap: . deploy/engine.sh" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" > "$root.log" || { cat "$root.log" >&2; exit 1; }
rm "$root.log"
# The machine's own sources: its mirror, and with it the security updates
cp -r /etc/apt/sources.list.d/. "$root/etc/apt/sources.list.d/"
[ ! -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$root/etc/apt/"
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
{
    chroot "$root" apt-get update
    chroot "$root" apt-get upgrade --yes
    chroot "$root" apt-get install --yes --no-install-recommends python3 python3-venv python3-pip
    chroot "$root" apt-get clean
} > /dev/null
# What Debian's slim images leave out too: documents but the licences, manual pages, other languages. And pip is to install here.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/{man,info,locale}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* \
    "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED "$root"/etc/resolv.conf
tar -C "$root" --numeric-owner --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    podman import --change 'CMD ["python3"]' - "$image" > /dev/null
