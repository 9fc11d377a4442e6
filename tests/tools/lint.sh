#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every linter, offline; all of them run, then the first failure decides.
set -u
cd "$(dirname "$0")/../.." || exit
bin=$PWD/.venv/bin
if [ -t 1 ]; then plain=; else plain=--nocolor; fi # a log has no use for colours
failed=

check() {
    name=$1
    shift
    begun=$(date +%s)
    if "$@"; then verdict=ok; else verdict=FAILED failed="$failed $name"; fi
    echo "lint: $name $verdict ($(($(date +%s) - begun)) s)"
}

check ruff "$bin/ruff" check .
check format "$bin/ruff" format --check --quiet .
check mypy "$bin/mypy" conftest.py plugins tests
check yamllint "$bin/yamllint" --strict .
check ansible-lint "$bin/ansible-lint" --offline --strict -q $plain

[ -z "$failed" ] || { echo "lint: failed:$failed"; exit 1; }
