#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make .venv from uv.lock and link the checkout into it as ansible_collections/fleetops/kernel.
# Run before every target: answers at once when nothing changed. PYTHON=… picks the interpreter, BUNDLE=1 adds
# the collections of PyPI's `ansible` bundle.
set -eu
cd "$(dirname "$0")/../.."
here=$(pwd -P)
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
purelib() { .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# The stamp holds all that the environment depends on; a moved checkout, another lock or another Python is a new one.
stamp() { printf '%s %s %s bundle=%s\n' "$here" "$(cat pyproject.toml uv.lock tests/tools/setup.sh | sha256sum)" "$1" "$2"; }

python=${PYTHON:-}
if [ -n "$python" ]; then
    usable "$python" || die "PYTHON=$python is not a Python 3.11 or newer"
    want=$("$python" -c 'import sys; print(sys.version)' | tr -d '\n')
elif [ -x .venv/bin/python ] && usable .venv/bin/python; then
    want=$(.venv/bin/python -c 'import sys; print(sys.version)' | tr -d '\n')
else
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then python=$candidate; break; fi
    done
    [ -n "$python" ] || die "no Python 3.11 or newer found; name one with PYTHON=/path/to/python3"
    want=$("$python" -c 'import sys; print(sys.version)' | tr -d '\n')
fi
if [ -n "${BUNDLE:-}" ]; then bundle=1; else bundle=$(sed -n 's/.* bundle=//p' .venv/.fleetops-setup 2>/dev/null || true); fi
now=$(stamp "$want" "$bundle")
[ "$now" != "$(cat .venv/.fleetops-setup 2>/dev/null)" ] || exit 0

# A venv cannot be moved, nor change its Python.
if [ -x .venv/bin/python ]; then
    has=$(.venv/bin/python -c 'import sys; print(sys.version)' 2>/dev/null | tr -d '\n')
    home=$(sed -n 's/.*VIRTUAL_ENV=//p' .venv/bin/activate 2>/dev/null | tr -d "\"'" | tail -n 1)
    if [ "$has" != "$want" ] || [ "$home" != "$here/.venv" ]; then rm -rf .venv; fi
fi
if [ ! -x .venv/bin/pip ] && [ ! -x .venv/bin/uv ]; then
    python=${python:-python3}
    "$python" -c 'import ensurepip' 2>/dev/null || sh tests/tools/need.sh python3-venv
    say "creating .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
fi
uv=$(sed -n 's/^ *"uv==\([0-9.]*\)".*/\1/p' pyproject.toml)
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv"
say "installing the versions of uv.lock"
unset VIRTUAL_ENV
UV_PROJECT_ENVIRONMENT="$here/.venv" UV_PYTHON_DOWNLOADS=never \
    .venv/bin/uv sync --frozen --quiet --python "$here/.venv/bin/python" ${bundle:+--group bundle}

links=$(purelib)/ansible_collections/fleetops
mkdir -p "$links"
ln -sfn "$here" "$links/kernel"
stamp "$want" "$bundle" >.venv/.fleetops-setup
say "ready: $(.venv/bin/ansible --version | sed -n 1p)"
