# To be sourced, by any POSIX shell: sees to it that promtool is found, from Debian's package if it is not there.
#   . tests/container/promtool.sh
# The package is unpacked and not installed, since it would start a server.
if ! type promtool > /dev/null 2>&1; then
    if ! [ -x build/promtool/usr/bin/promtool ]; then
        mkdir -p build/promtool
        { apt-get update && (cd build/promtool && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb .); } > /dev/null || return 1
    fi
    export PATH="$PATH:$PWD/build/promtool/usr/bin"
    promtool --version > /dev/null 2>&1 || return 1
fi
