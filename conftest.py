# SPDX-License-Identifier: GPL-3.0-or-later
"""Make `ansible_collections.fleetops.kernel` importable from a checkout in a folder of any name.

Python imports, Ansible's own loader and subprocesses all see the checkout under its collection name, through a link
in a temporary tree. Under ansible-test, which has its own tree, this file does nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CHECKOUT = Path(__file__).resolve().parent
TREE: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Build the tree before any test is collected."""
    global TREE
    if config.pluginmanager.hasplugin("ansible_pytest_collections"):
        return
    TREE = Path(tempfile.mkdtemp(prefix="fleetops-tree-"))
    namespace = TREE / "ansible_collections" / "fleetops"
    namespace.mkdir(parents=True)
    (namespace / "kernel").symlink_to(CHECKOUT)
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(TREE)
    # ansible, ansible-playbook … of this very environment, for tests that start them
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(TREE)])


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    if TREE is not None:
        shutil.rmtree(TREE)
