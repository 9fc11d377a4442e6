#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# need.sh PACKAGE…: install those of the named Debian packages that are missing, and say so.
set -eu
missing=
for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing system packages:$missing"
if [ "$(id -u)" != 0 ]; then
    echo "need.sh: not root; run: apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# An old package list names files that are gone: refresh it when the first try fails.
# shellcheck disable=SC2086  # a list of words
apt-get -qq -y --no-install-recommends install $missing >/dev/null 2>&1 || {
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install $missing >/dev/null
}
