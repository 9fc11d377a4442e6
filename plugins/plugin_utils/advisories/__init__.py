# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue of bad kernels: one YAML file each, ours beside this one, a site's own in folders of the site.

What its keys mean stands in `schema`. This is the one file of `plugin_utils` that reads files for the findings.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.plugin_utils.advisories import schema
from ansible_collections.fleetops.kernel.plugins.plugin_utils.advisories.schema import subject_of_vector
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

__all__ = ["ENDINGS", "OURS", "load", "parse", "subject_of_vector"]

OURS = os.path.dirname(os.path.abspath(__file__))
# Also without a mark that one of ours has, so that no file of a site is passed over in silence.
ENDINGS = (".yml", ".yaml", ".json")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key that stands there twice is an error, and not a loss."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise FleetopsError(f"key '{key}' stands there twice")
        return super().construct_mapping(node, deep)


def load(dirs: str | Sequence[str] | None = ()) -> list[Advisory]:
    """Ours, and those of the site's folders. Raises FleetopsError with file, key and what was expected."""
    found = dict(_folder(OURS))
    sites: dict[str, str] = {}
    for folder in _folders(dirs):
        for name, advisory in _folder(os.path.abspath(os.path.expanduser(folder))).items():
            if name in sites:
                raise FleetopsError(
                    f"The advisory '{name}' stands in two folders: '{sites[name]}' and '{folder}'"
                )
            sites[name] = folder
            found[name] = advisory
    return [found[name] for name in sorted(found)]


def _folders(dirs: Any) -> list[str]:
    """The site's folders. With -e a list is one text, as Ansible's own list options take it."""
    given = dirs.split(",") if isinstance(dirs, str) else [] if dirs is None else dirs
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
        raise FleetopsError(f"fleetops_advisories_dirs is '{dirs}': expected a list of folders")
    return [one.strip() for one in given if one.strip()]


def parse(text: str, path: str) -> Advisory:
    """One file's text as an advisory, checked, its vectors tried. *path* is for the messages."""
    try:
        return schema.advisory(yaml.load(text, Loader=_Loader), os.path.basename(path).rsplit(".", 1)[0])
    except FleetopsError as error:
        raise FleetopsError(f"The advisory '{path}' is not valid: {error.msg}", path=path) from error
    except yaml.YAMLError as error:
        raise FleetopsError(
            f"The advisory '{path}' is not valid YAML: {' '.join(str(error).split())}", path=path
        ) from error


def _folder(folder: str) -> Mapping[str, Advisory]:
    host = Host()
    try:
        names = host.listdir(folder)
    except FleetopsError as error:
        raise FleetopsError(
            f"The folder of advisories '{folder}' cannot be read: {error.msg}", path=folder
        ) from error
    paths = [
        os.path.join(folder, name)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    ]
    return _read(tuple((path, host.mtime(path), host.size(path)) for path in paths))


@functools.lru_cache(maxsize=32)
def _read(files: tuple[tuple[str, float, int], ...]) -> Mapping[str, Advisory]:
    """The advisories of files, read once as long as these are the same (path, time, size)."""
    found: dict[str, Advisory] = {}
    paths: dict[str, str] = {}
    for path, _time, _size in files:
        advisory = parse(Host().read(path), path)
        if advisory["id"] in found:
            raise FleetopsError(
                f"The advisory '{advisory['id']}' stands in two files: '{paths[advisory['id']]}' and '{path}'",
                path=path,
            )
        found[advisory["id"]], paths[advisory["id"]] = advisory, path
    return found
