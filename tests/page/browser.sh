# To be sourced, by any POSIX shell: sees to it that Chromium is there, from Debian's packages if it is not.
#   . tests/page/browser.sh
if ! type "${CHROMIUM:=/usr/bin/chromium}" > /dev/null 2>&1; then
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; } > /dev/null || return 1
fi
export CHROMIUM
