# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue of bad kernels: one YAML file each, ours beside this one, a site's own in folders of the site.

The keys of a file, and what they mean:

``id``
    The file's name without ``.yml``. A site's file with the id of one of ours takes its place.
``title``, ``symptom``, ``confidence``
    Plain sentences for the operator: what it is, what is seen, how sure we are and what is not known.
``severity``
    ``critical``, ``high``, ``medium`` or ``low``.
``breaks_kdump``
    Whether a node with this kernel may fail to take its dump, however large the reservation is.
``affects``
    Rows of ``distro``, ``codename``, ``source`` (the source package), ``flavours``, ``releases`` (globs of
    ``uname -r``) and ``versions`` (bounds of the package's version, in dpkg's order). ``distro`` and one of
    ``releases`` and ``versions`` must be there; what is left out fits all. One fitting row is enough.
``conditions``
    Facts that must hold as well. This version of the collection judges none yet: the list must be empty.
``good``
    Kernels to go to, the first that fits a node's flavour is taken: ``release`` or ``package``, with ``version``
    (its package version) and ``because``; ``distro`` and ``codename`` limit it. An entry of ``version`` alone says
    from where on a kernel is good, and installs nothing.
``references``
    Where to read on.
``vectors``
    Kernels (``distro``, ``codename``, ``source``, ``version``, ``release``; one left out is unknown) with the
    ``status`` that this file must give them: affected, ok, unknown or silent. They are tried each time it is loaded.

This is the one file of `plugin_utils` that reads files for the findings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import yaml

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory, Vector

OURS = os.path.dirname(os.path.abspath(__file__))
SEVERITIES = ("critical", "high", "medium", "low")
STATUSES = (matching.AFFECTED, matching.OK, matching.UNKNOWN, matching.SILENT)

Check = Callable[[Any], Any]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key that stands there twice is an error, and not a loss."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise FleetopsError(f"key '{key}' stands there twice")
        return super().construct_mapping(node, deep)


def load(dirs: str | Sequence[str] = ()) -> list[Advisory]:
    """Ours, and those of the site's folders. Raises FleetopsError with file, key and what was expected."""
    found = _folder(OURS)
    sites: dict[str, str] = {}
    # With -e a list is one text, as Ansible's own list options take it.
    for folder in dirs.split(",") if isinstance(dirs, str) else dirs:
        for name, advisory in _folder(os.path.abspath(os.path.expanduser(str(folder)))).items():
            if name in sites:
                raise FleetopsError(
                    f"The advisory '{name}' stands in two folders: '{sites[name]}' and '{folder}'"
                )
            sites[name] = str(folder)
            found[name] = advisory
    return [found[name] for name in sorted(found)]


def parse(text: str, path: str) -> Advisory:
    """One file's text as an advisory, checked, its vectors tried. *path* is for the messages."""
    try:
        document = yaml.load(text, Loader=_Loader)
        advisory: Advisory = _advisory(document, path)
        _consistent(advisory)
    except FleetopsError as error:
        raise FleetopsError(f"The advisory '{path}' is not valid: {error.msg}", path=path) from error
    except yaml.YAMLError as error:
        raise FleetopsError(
            f"The advisory '{path}' is not valid YAML: {' '.join(str(error).split())}", path=path
        ) from error
    return advisory


def _folder(folder: str) -> dict[str, Advisory]:
    host = Host()
    try:
        names = host.listdir(folder)
    except FleetopsError as error:
        raise FleetopsError(
            f"The folder of advisories '{folder}' cannot be read: {error.msg}", path=folder
        ) from error
    found = {}
    for name in names:
        if name.endswith((".yml", ".yaml")) and not name.startswith("."):
            advisory = parse(host.read(os.path.join(folder, name)), os.path.join(folder, name))
            found[advisory["id"]] = advisory
    return found


# --- the schema --------------------------------------------------------------------------------------


def _advisory(document: Any, path: str) -> Any:
    found = _mapping(
        document,
        "the file",
        {
            "id": _text,
            "title": _text,
            "severity": _one_of(SEVERITIES),
            "symptom": _text,
            "breaks_kdump": _bool,
            "affects": _list_of(_affects, at_least=1),
            "conditions": _no_conditions,
            "good": _list_of(_good),
            "confidence": _text,
            "references": _list_of(_text),
            "vectors": _list_of(_vector),
        },
        optional=("breaks_kdump", "conditions", "good", "references", "vectors"),
    )
    name = os.path.basename(path).rsplit(".", 1)[0]
    if found["id"] != name:
        raise FleetopsError(f"key 'id': expected '{name}', as the file is named, got '{found['id']}'")
    for key, default in (
        ("breaks_kdump", False),
        ("conditions", []),
        ("good", []),
        ("references", []),
        ("vectors", []),
    ):
        found[key] = default if found[key] is None else found[key]
    return found


def _affects(value: Any) -> Any:
    keys = {
        "distro": _text,
        "codename": _text,
        "source": _text,
        "flavours": _list_of(_text, at_least=1),
        "releases": _list_of(_text, at_least=1),
        "versions": _range,
    }
    row = _mapping(value, "a row", keys, optional=tuple(keys)[1:])
    if row["releases"] is None and row["versions"] is None:
        raise FleetopsError("expected 'releases' or 'versions', or both")
    return row


def _good(value: Any) -> Any:
    keys = {
        "distro": _text,
        "codename": _text,
        "release": _release,
        "package": _package,
        "version": _version,
        "because": _text,
    }
    row = _mapping(value, "an entry", keys, optional=tuple(keys))
    if row["release"] and row["package"]:
        raise FleetopsError("expected 'release' or 'package', not both")
    if not (row["release"] or row["package"] or row["version"]):
        raise FleetopsError("expected one of 'release', 'package' and 'version'")
    return row


def _vector(value: Any) -> Any:
    keys = {
        "distro": _text,
        "codename": _text,
        "source": _text,
        "version": _text,
        "release": _text,
        "status": _one_of(STATUSES),
    }
    return _mapping(value, "a vector", keys, optional=tuple(keys)[:-1])


def _mapping(
    value: Any, what: str, keys: Mapping[str, Check], optional: Iterable[str] = ()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FleetopsError(f"expected {what} to be a mapping, got {_kind(value)}")
    for key in value:
        if key not in keys:
            raise FleetopsError(f"key '{key}' is not known: expected {', '.join(keys)}")
    found: dict[str, Any] = {}
    for key, check in keys.items():
        if value.get(key) is None:
            if key not in optional:
                raise FleetopsError(f"key '{key}' is missing")
            found[key] = None
            continue
        try:
            found[key] = check(value[key])
        except FleetopsError as error:
            # A row's own key comes behind the row: `key 'affects[1].versions': …`
            inner = error.msg
            if inner.startswith("key '"):
                raise FleetopsError(f"key '{key}.{inner[5:]}") from error
            joint = "" if inner.startswith("[") else "': "
            raise FleetopsError(f"key '{key}{joint}{inner}") from error
    return found


def _list_of(check: Check, at_least: int = 0) -> Check:
    def each(value: Any) -> Any:
        if not isinstance(value, list) or len(value) < at_least:
            wanted = "a list" if not at_least else f"a list of at least {at_least}"
            raise FleetopsError(f"expected {wanted}, got {_kind(value)}")
        return [_numbered(check, number, item) for number, item in enumerate(value)]

    return each


def _numbered(check: Check, number: int, item: Any) -> Any:
    try:
        return check(item)
    except FleetopsError as error:
        inner = error.msg
        joint = f"].{inner[5:]}" if inner.startswith("key '") else f"]': {inner}"
        raise FleetopsError(f"[{number}{joint}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        hint = ": put it into quotes" if isinstance(value, (int, float)) else ""
        raise FleetopsError(f"expected text, got {_kind(value)}{hint}")
    return value.strip()


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise FleetopsError(f"expected true or false, got {_kind(value)}")
    return value


def _one_of(allowed: Sequence[str]) -> Check:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise FleetopsError(f"expected one of {', '.join(allowed)}, got {_kind(value)}")
        return value

    return check


def _range(value: Any) -> str:
    versions.parse_range(_text(value))
    return _text(value)


def _version(value: Any) -> str:
    versions.key(_text(value))
    return _text(value)


def _release(value: Any) -> str:
    if rules.flavour(_text(value)) is None:
        raise FleetopsError(f"expected a release as uname -r shows it, with its flavour, got '{value}'")
    return _text(value)


def _package(value: Any) -> str:
    if (
        not _text(value).startswith("linux-image-")
        or rules.flavour(value.partition("linux-image-")[2]) is None
    ):
        raise FleetopsError(f"expected the package of a kernel image, linux-image-<release>, got '{value}'")
    return _text(value)


def _no_conditions(value: Any) -> list[Any]:
    if value != []:
        raise FleetopsError("expected an empty list: this version of the collection judges no conditions yet")
    return []


def _kind(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return f"'{value}'"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else type(value).__name__


# --- does it say what it means? ----------------------------------------------------------------------


def _consistent(advisory: Advisory) -> None:
    for number, vector in enumerate(advisory["vectors"]):
        said = matching.say(advisory, subject_of_vector(vector))
        if said != vector["status"]:
            raise FleetopsError(
                f"key 'vectors[{number}].status': expected '{vector['status']}', its own rows say '{said}'"
            )
    for number, good in enumerate(advisory["good"]):
        for row in advisory["affects"]:
            where: matching.Subject = {
                "distro": row["distro"],
                "codename": row["codename"],
                "source": row["source"],
                "version": None,
                "release": None,
                "flavour": None,
            }
            candidate = matching.candidate_of(good, where)
            if candidate is None:
                continue
            if matching.say(advisory, candidate) == matching.AFFECTED:
                raise FleetopsError(
                    f"key 'good[{number}]': expected a kernel that is not itself affected: {matching.describe(row)}"
                )


def subject_of_vector(vector: Vector) -> matching.Subject:
    """A vector as the kernel of a node."""
    release = vector["release"]
    return {
        "distro": vector["distro"],
        "codename": vector["codename"],
        "source": vector["source"],
        "version": vector["version"],
        "release": release,
        "flavour": rules.flavour(release) if release else None,
    }
