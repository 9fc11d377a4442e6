# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Which packages apt counts as installed by hand for our sake: no autoremove takes them, and they are given back."""

from __future__ import annotations

from typing import List, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _apt

# What we have marked, over boots and killed runs. What the site has marked itself is never in it.
PROTECTED = "/var/lib/fleetops/marked-manual"


def protected(host: Host) -> List[str]:
    """What was marked for our sake, and not given back."""
    try:
        return host.read(PROTECTED).split()
    except Missing:
        return []


def note(host: Host, names: Sequence[str]) -> None:
    """Write down what is about to be marked: by us, or by apt, which marks what is named to be installed."""
    _write(host, [*protected(host), *names])


def protect(host: Host, names: Sequence[str]) -> None:
    """Mark these, which are not marked yet."""
    there = _apt.installed(host, names)
    if there:
        note(host, there)
        _apt.mark(host, there, "manual")


def unprotect(host: Host, names: Sequence[str]) -> None:
    """Give back those of them that were marked for our sake."""
    ours = [name for name in protected(host) if name in names]
    _apt.mark(host, _apt.installed(host, ours), "auto")
    if ours:
        _write(host, [name for name in protected(host) if name not in ours])


def _write(host: Host, names: Sequence[str]) -> None:
    if names:
        host.write_atomic(PROTECTED, "".join(f"{name}\n" for name in dict.fromkeys(names)), mode=0o600)
    elif host.exists(PROTECTED):
        host.remove(PROTECTED)
