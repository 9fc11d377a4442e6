# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A library of the controller, lent to a node for the time of one task.

Not pure: what an action plugin does has to touch files and the connection. A module that misses the library fails
before it changes anything, and names it in `error.missing_library`. Then, and only then, the library goes over as one
zip file on PYTHONPATH, which needs no installer on the node, and the module runs again.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import zipfile
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# A library that is pure Python and imports from a zip file: tried with 0.7.12 and 0.9.7 on Python 3.9 and 3.11.
LIBRARIES = ("pyroute2",)


class CarryingAction(ActionBase):
    """Runs the module of the same name; lends it a library when that is all it lacks."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once, or twice."""
        result: dict[str, Any] = super().run(None, task_vars)
        answer = self._module(task_vars)
        library = missing(answer)
        if library is not None:
            answer = self._with(library, answer, task_vars)
        result.update(answer)
        return result

    def _module(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(task_vars=task_vars)
        return answer

    def _with(self, library: str, answer: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        local = packed(library)
        if local is None:
            msg = (
                f"Nothing was changed: the Python library {library} is neither on the node nor on the controller. "
                "Install it in one of the two"
            )
            return {**answer, "msg": msg}
        base: Any = self  # what ansible-core leaves untyped
        shell = base._connection._shell
        if shell.tmpdir is None:
            base._make_tmp_path()
        remote = shell.join_path(shell.tmpdir, os.path.basename(local))
        base._transfer_file(local, remote)
        base._fixup_perms2([shell.tmpdir, remote], execute=False)
        before = self._task.environment
        environment: dict[str, Any] = {}
        base._compute_environment_string(environment)
        path = [str(environment["PYTHONPATH"])] if environment.get("PYTHONPATH") else []
        self._task.environment = [{**environment, "PYTHONPATH": ":".join([remote, *path])}]
        try:
            again = self._module(task_vars)
        finally:
            self._task.environment = before
        # The directory itself goes with `cleanup`, as every remote directory of a task does.
        if missing(again) is not None:
            msg = f"The controller's {library} was carried to the node, but its Python cannot use it: {again['msg']}"
            return {**again, "msg": msg}
        return again


def missing(answer: dict[str, Any]) -> str | None:
    """The library for want of which a module failed; None when it did not, or when we do not lend that one."""
    error = answer.get("error")
    name = error.get("missing_library") if answer.get("failed") and isinstance(error, dict) else None
    return name if name in LIBRARIES else None


def packed(library: str) -> str | None:
    """A zip file with an installed package of this controller, made once per run; None when there is none."""
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        return None
    (folder, *_more) = spec.submodule_search_locations
    folder_of_run: str = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]
    target = os.path.join(folder_of_run, f"{library}.zip")
    if os.path.exists(target):
        return target
    handle, building = tempfile.mkstemp(dir=folder_of_run, prefix=f".{library}-")
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in sorted(files_of(library, folder)):
                archive.write(path, name)
        os.replace(building, target)
    except OSError as error:
        os.unlink(building)
        raise AnsibleActionFail(f"Cannot pack {library} for the node: {error}") from error
    return target


def files_of(library: str, folder: str) -> list[tuple[str, str]]:
    """(name in the archive, path) of the files that make the package. Raises for one with compiled parts."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = os.path.join(here, name)
            if name.endswith((".so", ".pyd")):
                raise AnsibleActionFail(
                    f"{library} of this controller has compiled parts, and cannot be carried: {path}"
                )
            if not name.endswith(".pyc"):
                found.append((os.path.join(library, os.path.relpath(path, folder)), path))
    return found
