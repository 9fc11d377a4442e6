# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""How far a kernel is patched, by the name of its live patch. Pure.

The names are as their makers document them; none was captured from a patched machine.
"""

from __future__ import annotations

import re
from typing import Optional

# Canonical: lkp_Ubuntu_5_15_0_91_101_generic_104, the version of the kernel's package, its flavour, the level.
_CANONICAL = re.compile(r"lkp_Ubuntu_(?:\d+_)+[a-z]\w*?_(?P<level>\d+)\Z", re.ASCII)
# Red Hat: the package kpatch-patch-5_14_0-570_33_1, version 1, release 2 brings kpatch_5_14_0_570_33_1_1_2.
_KPATCH = "kpatch_"


def level(name: str, release: Optional[str]) -> Optional[str]:
    """``104`` of Canonical's patches; ``1-2`` of Red Hat's, for which the running release must be known."""
    canonical = _CANONICAL.match(name)
    if canonical:
        return canonical.group("level")
    if name.startswith(_KPATCH) and release:
        kernel = re.sub(r"\.(?:el|oe)\d.*\Z", "", release)
        prefix = _KPATCH + re.sub(r"[.-]", "_", kernel) + "_"
        rest = re.match(r"(\d+)_(\d+)\Z", name[len(prefix) :], re.ASCII)
        if name.startswith(prefix) and rest:
            return f"{rest.group(1)}-{rest.group(2)}"
    return None
