#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity on a copy of the git files: ansible-test wants its working directory to be a real
# ansible_collections/fleetops/kernel (a link is refused) and asks git which files there are.
set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.."
bin=$PWD/.venv/bin
tree=$PWD/.cache/sanity
copy=$tree/ansible_collections/fleetops/kernel
mkdir -p .cache
exec 9>.cache/sanity.lock
flock 9

rm -rf "$tree"
mkdir -p "$copy"
# Files deleted but not yet committed still are in git's list.
# What was read off machines is no code: a sosreport has links to folders, and files end as they ended there.
git ls-files -z -co --exclude-standard -- . ':!tests/unit/fixtures' >"$tree/all"
git ls-files -z -d | sort -z >"$tree/gone"
sort -zu "$tree/all" | comm -z -23 - "$tree/gone" | xargs -0 -r cp -P --parents -t "$copy"
git -C "$copy" init -q # else ansible-test finds the checkout around it, where this folder is ignored

# The name of the file where ansible-test looks for get-pip before it downloads it: see get_pip.py.
package=$("$bin/python" -c 'import ansible_test; print(next(iter(ansible_test.__path__)))')
version=$(sed -n "s/^ *pip='\([0-9.]*\)',.*/\1/p" "$package/_internal/python_requirements.py" | head -n 1)
[ -n "$version" ] || { echo "sanity: this ansible-test does not say which get-pip it wants" >&2; exit 1; }
stand_in=$HOME/.ansible/test/cache/get_pip_$(echo "$version" | tr . _).py
mkdir -p "$(dirname "$stand_in")"
[ -e "$stand_in" ] || cp tests/sanity/get_pip.py "$stand_in"

sh tests/tools/need.sh shellcheck # without it ansible-test only warns, and checks no shell file
python=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd "$copy"
"$bin/ansible-test" sanity --color no --python "$python" "$@"
