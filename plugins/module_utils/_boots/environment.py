# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Puts a variable of GRUB's environment block back, unless somebody else changed it since."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host

# The tool, the block, the variable; what we left there ($3), and what was there before ($4; empty: nothing).
_PUT_BACK = """\
now=$("$0" "$1" list | sed -n "s/^$2=//p") || exit
case $now in
"$3" | "$4") ;;
*) echo "$2 in $1 was changed by somebody else since" >&2; exit 1 ;;
esac
if [ "$4" ]; then exec "$0" "$1" set "$2=$4"; fi
exec "$0" "$1" unset "$2"
"""


def put_back(host: Host, platform: Any, name: str, before: Optional[str], after: str) -> Dict[str, Any]:
    """The step of an undo record that brings a variable back from *after* to *before* (None: it was not set)."""
    tool, path, *_rest = platform.edit_environment(host, "list")
    return {"do": "run", "argv": ["/bin/sh", "-c", _PUT_BACK, tool, path, name, after, before or ""]}
