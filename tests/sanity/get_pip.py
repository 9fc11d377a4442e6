# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip.py that ansible-test downloads from a site of its own, out of reach of some machines.

tests/sanity/run.sh puts it where ansible-test looks first, unless a real one is there. It does what that one does: pip
from Python's own ensurepip, then what was asked for from the configured package index.
"""

import subprocess
import sys

# In processes of their own: ensurepip switches pip's configuration off in the environment it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", *wanted])
