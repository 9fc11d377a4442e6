# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the lab: a sentence for a person, never a traceback."""

from __future__ import annotations


class LabError(Exception):
    """Something is in the way; the text says what, and `detail` carries a log's or a console's tail."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
