#!/usr/bin/env bash
# Makes the image that the bento's Dockerfile begins with from Debian's packages, for podman, where no registry of images can be
# reached. Does nothing if podman has it.
#   tests/container/base.sh python:3.11-slim
set -euo pipefail
image=localhost/$1
podman image exists "$1" && exit
[ "$1" = python:3.11-slim ] || { echo "tests/container/base.sh makes python:3.11-slim only, which is Debian 12's Python, not $1" >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "tests/container/base.sh needs debootstrap: . tests/container/engine.sh" >&2; exit 1; }

root=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$root" "$log"' EXIT
trap 'cat "$log" >&2' ERR
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" > "$log" 2>&1
sources=$root/etc/apt/sources.list
cp "$sources" "$root/sources.list.kept"
if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then # this machine's own mirror; nobody's packages but Debian's
    : > "$sources"
    for file in sources.list sources.list.d/debian.sources; do
        [ ! -e "/etc/apt/$file" ] || cp "/etc/apt/$file" "$root/etc/apt/$file"
    done
else
    echo 'deb http://security.debian.org/debian-security bookworm-security main' >> "$sources"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update > "$log" 2>&1
chroot "$root" apt-get upgrade --yes > "$log" 2>&1
chroot "$root" apt-get install --yes --no-install-recommends python3 python3-venv python3-pip > "$log" 2>&1
chroot "$root" apt-get clean
mv "$root/sources.list.kept" "$sources"
# What Debian's slim images leave out too: documents but the licences, manual pages, other languages. And pip is to install here.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/{man,info,locale}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* \
    "$root"/etc/apt/sources.list.d/* "$root"/etc/resolv.conf "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
tar -C "$root" --numeric-owner --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    podman import --change 'CMD ["python3"]' - "$image" > "$log" 2>&1
