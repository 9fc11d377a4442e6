# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import settings

# A machine that boots others beside the tests is slow now and then: time is no verdict on an example.
settings.register_profile("fleetops", deadline=None)
settings.load_profile("fleetops")
