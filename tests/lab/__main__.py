# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 tests/lab <command>`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.cli import main

sys.exit(main(sys.argv[1:]))
