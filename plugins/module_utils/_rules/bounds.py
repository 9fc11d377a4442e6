# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""How much text a parser takes: more than any real source has is refused, before it costs time or memory. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

# The largest that a kernel can be built for (arch/s390/Kconfig COMMAND_LINE_SIZE); elsewhere it is 2 to 8 KiB.
COMMAND_LINE = 1 << 20
# Files that a shell sources, such as os-release and /etc/default/grub, have some KiB.
SHELL_FILE = 1 << 20
# A command that a program wrote down; Linux takes no longer argument (MAX_ARG_STRLEN, 32 pages of 4 KiB).
COMMAND = 128 << 10
# The value of one parameter of the kernel.
PARAMETER = 4 << 10


def within(text: str, most: int, what: str) -> str:
    """Give back *text* of at most *most* characters, else raise FleetopsError that names *what* and the limit."""
    if len(text) > most:
        raise FleetopsError(f"{what} has {len(text)} characters, and at most {most} are taken")
    return text
