# To be sourced, by any POSIX shell: sees to it that docker or podman works here, and that there is an nginx for the test of two
# containers behind one address, from Debian's packages where they are missing.
#   . tests/container/engine.sh
if docker --version 2> /dev/null | grep -qi podman || ! docker info > /dev/null 2>&1; then
    needed="podman podman-compose"
    [ -d /run/systemd/system ] || needed="$needed runc"
    # tests/container/base.sh needs it, unless podman has the base image or reaches a registry.
    podman image exists python:3.11-slim 2> /dev/null || podman pull --quiet docker.io/library/python:3.11-slim > /dev/null 2>&1 ||
        needed="$needed debootstrap"
    # shellcheck disable=SC2086
    if ! type $needed > /dev/null 2>&1; then
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends podman runc debootstrap \
            containernetworking-plugins iptables uidmap podman-compose; } > /dev/null || return 1
    fi
    # Where there is no systemd, podman's defaults do not serve: it would ask it for control groups, crun refuses hybrid ones, and
    # the limits on open files that it sets may be above those of the machine.
    if [ ! -d /run/systemd/system ] && [ -z "${CONTAINERS_CONF:-}" ]; then
        mkdir -p build
        cat > build/containers.conf << 'EOF'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
EOF
        export CONTAINERS_CONF=$PWD/build/containers.conf
    fi
    podman info > /dev/null || return 1
fi
# Unpacked and not installed: the package would start a server on port 80.
if ! PATH=$PATH:/usr/sbin type nginx > /dev/null 2>&1 && [ ! -x build/nginx/usr/sbin/nginx ]; then
    mkdir -p build
    { (cd build && apt-get update && apt-get download nginx) && dpkg -x build/nginx_*.deb build/nginx && rm build/nginx_*.deb; } \
        > /dev/null || return 1
fi
