# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose host trees of distributions that the lab cannot boot: `python tests/capture/compose`.

Each begins as a captured Debian machine: its /proc and /sys are the kernel's own, the same everywhere. What a
distribution has otherwise is written here in its documented format. A tree made so says it: COMPOSED.md, and
"composed" in its .fleetops.json. It notes nothing as missing: what is not in it was not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from capture.compose.redhat import openeuler, rocky
from capture.compose.ubuntu import jammy, noble


def main() -> int:
    """All of them."""
    for make in (jammy, noble, rocky, openeuler):
        make()
    return 0


if __name__ == "__main__":
    sys.exit(main())
