# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What differs between families of distributions: one module each, imported here by name.

A family gives ``FAMILY``, ``IDS`` (the ``ID`` values of os-release) and the functions of :mod:`debian`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian, redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Distro

FAMILIES: tuple[ModuleType, ...] = (debian, redhat)


def family_of(distro_id: str) -> Optional[str]:
    """The family that an ``ID`` of os-release belongs to, None when none of ours."""
    for platform in FAMILIES:
        if distro_id in platform.IDS:
            return str(platform.FAMILY)
    return None


def select(distro: Optional[Distro]) -> Optional[ModuleType]:
    """The module for a distribution, None for one that we do not know."""
    for platform in FAMILIES:
        if distro is not None and distro["id"] in platform.IDS:
            return platform
    return None
