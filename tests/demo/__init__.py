# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident, told and proved on a real machine."""
