# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an advisory may say: every key is checked, and that the file means what its own vectors say. Pure.

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
    Rows of ``distro`` (the ``ID`` of os-release; a name or a list of those that share the kernel), ``codename``,
    ``source`` (the source package), ``flavours``, ``releases`` (globs of ``uname -r``) and ``versions`` (bounds of the
    package's version, in dpkg's order or in rpm's, by the distribution). ``distro`` and one of ``releases`` and
    ``versions`` must be there; what is left out fits all. One fitting row is enough. A rebuild for an older release,
    such as ``5.15.0-112.122~20.04.1``, counts as the upload that it is. Kernels without a mark of their flavour, as
    those of Red Hat, are of the flavour ``plain``. ``perhaps`` are versions beside ``versions`` of which no source
    tells whether they have the fault: these are unknown. Of a source that is signed in a package of its own
    (``linux-signed``), the one that was compiled is meant, and the case of ``distro`` does not count.
``conditions``
    Facts of the node that must all hold as well, a mapping of one key each; a list of values means any of them:
    ``module`` (it is loaded), ``file_system`` (one of that type is mounted from a device or a server), ``driver`` (a
    device is bound to it), ``cpu_vendor``, ``architecture`` (as ``uname -m`` says) and ``iommu`` (true: one is in use).
    A fact that is unknown counts as met, and the finding says so; a condition that is not met makes the node ok.
    What is built into the kernel never stands among the loaded modules: ask for a ``module`` only where the named
    kernels build it as one, else for the file system or the driver, which are seen either way.
``good``
    Kernels to go to, as candidates for the one that is good against all advisories (see `good`): ``release`` or
    ``package``, with ``version`` (its package version) and ``because``; ``distro`` and ``codename`` limit it. An entry
    of ``version`` alone says from where on a kernel is good. The end of a range is a candidate by itself.
``references``
    Where to read on.
``vectors``
    Kernels (``distro``, ``codename``, ``source``, ``version``, ``release``; one left out is unknown) on a node with
    ``facts`` (``modules``, ``file_systems``, ``drivers``: lists; ``cpu_vendor``, ``architecture``, ``iommu``; one left
    out is unknown), with the ``status`` that this file must give them: affected, ok, unknown or silent. They are tried
    each time it is loaded: write the kernel of a node that must be found, as it stands in the report.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory, Vector

# What os-release calls its releases (VERSION_CODENAME); newer ones may come, so only what looks like one is refused.
CODENAMES = {
    "debian": "buster bullseye bookworm trixie forky sid".split(),
    "ubuntu": "bionic focal jammy kinetic lunar mantic noble oracular plucky questing resolute".split(),
}
STATUSES = (matching.AFFECTED, matching.OK, matching.UNKNOWN, matching.SILENT)

Check = Callable[[Any], Any]


def advisory(document: Any, name: str) -> Advisory:
    """A document as the advisory *name*, its vectors tried. Raises FleetopsError with key and what was expected."""
    found: Advisory = _advisory(document)
    if found["id"] != name:
        raise FleetopsError(f"key 'id': expected '{name}', as the file is named, got '{found['id']}'")
    _consistent(found)
    return found


# --- the keys ----------------------------------------------------------------------------------------


def _advisory(document: Any) -> Any:
    defaults = {"breaks_kdump": False, "conditions": [], "good": [], "references": [], "vectors": []}
    keys = {
        "id": _text,
        "title": _text,
        "severity": _one_of(matching.SEVERITIES),
        "symptom": _text,
        "breaks_kdump": _bool,
        "affects": _list_of(_affects, at_least=1),
        "conditions": _list_of(_condition),
        "good": _list_of(_good),
        "confidence": _text,
        "references": _list_of(_text),
        "vectors": _list_of(_vector),
    }
    found = _mapping(document, "the file", keys, optional=tuple(defaults))
    return {key: defaults.get(key) if value is None else value for key, value in found.items()}


def _affects(value: Any) -> Any:
    keys = {
        "distro": _distros,
        "codename": _text,
        "source": _source,
        "flavours": _list_of(_text, at_least=1),
        "releases": _list_of(_text, at_least=1),
        "versions": _text,
        "perhaps": _text,
    }
    row = _mapping(value, "a row", keys, optional=tuple(keys)[1:])
    if row["releases"] is None and row["versions"] is None:
        raise FleetopsError("expected 'releases' or 'versions', or both")
    if row["perhaps"] is not None and row["versions"] is None:
        raise FleetopsError("key 'perhaps': expected 'versions' beside it, which have the fault for certain")
    for key in ("versions", "perhaps"):
        if row[key] is not None:
            _named(key, matching.bounds_of, row[key], _one_order(row["distro"])[0])
    return _codename_of(row)


def _codename_of(row: Any) -> Any:
    """*row*, whose codename is no slip of the pen. Raises FleetopsError."""
    codename, distros = row["codename"], row["distro"] or []
    known = [name for distro in distros for name in CODENAMES.get(distro, [])]
    if codename is None or codename in known or not known:
        return row
    for distro, names in CODENAMES.items():
        if codename in names:
            raise FleetopsError(
                f"key 'codename': '{codename}' is one of {distro}, not of {', '.join(distros)}"
            )
    alike = difflib.get_close_matches(codename.lower(), known, n=1, cutoff=0.75)
    if alike:
        raise FleetopsError(
            f"key 'codename': expected a codename of {', '.join(distros)}, as '{alike[0]}', got '{codename}'"
        )
    return row


def _good(value: Any) -> Any:
    keys = {
        "distro": _distros,
        "codename": _text,
        "release": _release,
        "package": _package,
        "version": _text,
        "because": _text,
    }
    row = _mapping(value, "an entry", keys, optional=tuple(keys))
    if row["release"] and row["package"]:
        raise FleetopsError("expected 'release' or 'package', not both")
    if not (row["release"] or row["package"] or row["version"]):
        raise FleetopsError("expected one of 'release', 'package' and 'version'")
    return _codename_of(row)


def _condition(value: Any) -> Any:
    keys: dict[str, Check] = {
        **dict.fromkeys(matching.CONDITIONS, _texts),
        "iommu": lambda given: [_bool(given)],
    }
    row = _mapping(value, "a condition", keys, optional=tuple(keys))
    given = [(key, wanted) for key, wanted in row.items() if wanted is not None]
    if len(given) != 1:
        raise FleetopsError(f"expected exactly one key of {', '.join(keys)}, got {len(given)}")
    return {"key": given[0][0], "wanted": given[0][1]}


def _vector(value: Any) -> Any:
    keys = {
        "distro": lambda given: _text(given).lower(),
        "codename": _text,
        "source": _source,
        "version": _text,
        "release": _text,
        "facts": _facts,
        "status": _one_of(STATUSES),
    }
    row = _mapping(value, "a vector", keys, optional=tuple(keys)[:-1])
    row["facts"] = row["facts"] or {}
    return row


def _facts(value: Any) -> Any:
    keys = {
        "modules": _list_of(_text),
        "file_systems": _list_of(_text),
        "drivers": _list_of(_text),
        "cpu_vendor": _text,
        "architecture": _text,
        "iommu": _bool,
    }
    return _mapping(value, "the facts", keys, optional=tuple(keys))


# --- checks ------------------------------------------------------------------------------------------


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


def _texts(value: Any) -> list[str]:
    """A text, or a list of texts."""
    found: list[str] = _list_of(_text, at_least=1)(value) if isinstance(value, list) else [_text(value)]
    return found


def _distros(value: Any) -> list[str]:
    return [name.lower() for name in _texts(value)]


def _source(value: Any) -> str:
    return matching.source_of(_text(value))


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


def _one_order(distros: Sequence[str]) -> Sequence[str]:
    """*distros*, whose package versions are ordered in one way."""
    orders = {_named("distro", versions.order_of, distro) for distro in distros}
    if len(orders) > 1:
        raise FleetopsError("key 'distro': expected distributions whose package versions have one order")
    return distros


def _named(key: str, check: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except FleetopsError as error:
        raise FleetopsError(f"key '{key}': {error.msg}") from error


def _release(value: Any) -> str:
    if rules.parse_release(_text(value)) is None:
        raise FleetopsError(f"expected a release as uname -r shows it, with its flavour, got '{value}'")
    return _text(value)


def _package(value: Any) -> str:
    if (
        not _text(value).startswith("linux-image-")
        or rules.parse_release(value.partition("linux-image-")[2]) is None
    ):
        raise FleetopsError(f"expected the package of a kernel image, linux-image-<release>, got '{value}'")
    return _text(value)


def _kind(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return f"'{value}'"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else type(value).__name__


# --- does it say what it means? ----------------------------------------------------------------------


def _consistent(advisory: Advisory) -> None:
    for number, vector in enumerate(advisory["vectors"]):
        said = matching.say(advisory, subject_of_vector(vector), matching.traits(vector["facts"]))
        if said != vector["status"]:
            raise FleetopsError(
                f"key 'vectors[{number}].status': expected '{vector['status']}', its own rows say '{said}'"
            )
    for number, good in enumerate(advisory["good"]):
        for row in advisory["affects"]:
            for distro in set(row["distro"]) & set(good["distro"] or row["distro"]):
                _good_is_good(advisory, number, row, distro)


def _good_is_good(advisory: Advisory, number: int, row: matching.Affects, distro: str) -> None:
    good = advisory["good"][number]
    if good["version"]:
        _named(f"good[{number}].version", versions.key, good["version"], versions.order_of(distro))
    where: matching.Subject = {
        "distro": distro,
        "codename": row["codename"],
        "source": row["source"],
        "version": None,
        "release": None,
        "flavour": None,
    }
    candidate = matching.candidate_of(good, where)
    if candidate is not None and matching.say(advisory, candidate) == matching.AFFECTED:
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
        "flavour": matching.flavour_of(release) if release else None,
    }
