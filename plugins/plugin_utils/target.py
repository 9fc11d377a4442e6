# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel that a role is to aim at on this node: its release and its packages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import dpkg
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.plugin_utils import good, matching, readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

# dpkg's status words of a package that is there in full: wanted (i) or held (h), and installed (i).
INSTALLED = ("ii", "hi")
NAMES = (
    "kernel_upgrade_release",
    "kernel_upgrade_package",
    "kernel_upgrade_minimum",
    "kernel_upgrade_first_good",
)
MOST_NAMES = 5
# Ubuntu's meta packages count as their kernel does: 5.15.0.112.110 leads to 5.15.0-112.
_UBUNTU_META = re.compile(r"(\d+\.\d+\.\d+)\.(\d+)\.\d+(?:~\S+)?\Z")
# No distribution builds one release so often.
_LAST_UPLOAD = 999999


class Target(TypedDict):
    """``packages``: what is still to be installed: its ``package``, what the running kernel has beside its own, metas.

    ``version``: of its package, null where nobody said. ``installed``: all of it is there in full. ``because``:
    sentences on what was chosen, and what was left out.
    """

    release: str
    package: str
    version: str | None
    packages: list[str]
    metas: list[str]
    installed: bool
    package_manager: str
    because: list[str]


class _Offer(NamedTuple):
    """A kernel that is on the disk or in the archive."""

    release: str
    version: str | None


def kernel_target(
    facts: Mapping[str, Any],
    release: str = "",
    package: str = "",
    minimum: str = "",
    first_good: bool = False,
    available: Any = (),
    advisories: Sequence[Advisory] = (),
    policy: str = good.NEWEST,
) -> Target:
    """The kernel that exactly one of the four asks for: *release*, *package*, *minimum* (this or newer), *first_good*.

    *available*: ``{name, version}`` of what the archive has, or all that `kernel_packages` returned. Raises
    FleetopsError when there is no such kernel, and when its package is there in full, and yet cannot boot.
    """
    kernel = part(facts, "fleetops_kernel")
    given = (release, package, minimum, truth(NAMES[3], first_good))
    if sum(map(bool, given)) != 1:
        said = ", ".join(f"{name}: '{value}'" for name, value in zip(NAMES, given, strict=True) if value)
        raise FleetopsError(
            f"Name the kernel by exactly one of {', '.join(NAMES[:-1])} and {NAMES[-1]}: got {said or 'none of them'}"
        )
    platform = _platform.select(kernel.get("distro"))
    if platform is None:
        raise FleetopsError(f"Kernels cannot be installed on this distribution yet: {_name(kernel)}")
    if kernel.get("installed") is None:
        raise FleetopsError(
            f"The installed kernels are unknown: {kernel.get('unknown', {}).get('installed')}"
        )
    because: list[str] = []
    available = _listed(available)
    if minimum:
        newest, because = _at_least(kernel, platform, minimum, available, advisories)
        if newest is None:
            # What runs is enough: neither a newer upload of it nor a meta package is asked for.
            return _target(kernel, platform, kernel["release"], [], because, metas=False)
        release = newest
    elif given[3]:
        release, because = _first_good(kernel, platform, available, advisories, policy)
    else:
        release = release_wanted(kernel, release, package)
    return _target(kernel, platform, release, available, because)


def _target(
    kernel: Any,
    platform: ModuleType,
    release: str,
    available: Sequence[Mapping[str, Any]],
    because: list[str],
    metas: bool = True,
) -> Target:
    package = platform.kernel_package(release)
    found = readings.installed(kernel, release)
    disk = found["package"] if found else None
    whole = bool(disk and disk["status"].strip() in INSTALLED)
    if found and whole and found["bootable"] is False:
        # The package manager would do nothing for a package that is there in full.
        raise FleetopsError(
            f"{package} is installed, but cannot boot; missing: {', '.join(found['missing'])}. Install it again first"
        )
    packages = [
        *platform.to_install(release, _beside(kernel, kernel.get("release"))),
        *_vendors(kernel, platform, release),
    ]
    offered = _newest(kernel, [offer for offer in _offers(platform, available) if offer.release == release])
    version = disk["version"] if disk and whole else offered
    if found and whole:
        there = [*platform.to_install(release, _beside(kernel, release))]
        there += [dpkg.vendor_package(one, release) for one in found.get("prebuilt") or []]
        if disk and offered and _is_newer(kernel, offered, disk["version"]):
            because = [
                *because,
                f"{package} is installed in version {disk['version']}, and {offered} is to be had",
            ]
            there.remove(package)
            version = offered
        packages = [name for name in packages if name not in there]
    along, words = _metas(kernel, release, version, available) if metas else ([], [])
    packages += [name for name in along if name not in packages]
    return {
        "release": release,
        "package": package,
        "version": version,
        "packages": packages,
        "metas": along,
        "installed": whole and not packages,
        "package_manager": platform.PACKAGE_MANAGER,
        "because": [*because, *words],
    }


def _beside(kernel: Mapping[str, Any], release: str | None) -> Sequence[str]:
    """What is installed beside the image of a kernel. Raises FleetopsError when that is not known."""
    found = readings.installed(kernel, release)
    if found is not None and found["beside"] is None:
        why = readings.why(kernel, f"installed.{release}.beside")
        raise FleetopsError(f"What is installed beside the image of {release} is unknown: {why}")
    return (found["beside"] or []) if found else []


def _vendors(kernel: Mapping[str, Any], platform: ModuleType, release: str) -> list[str]:
    """The packages with the modules of vendors that one brings to the running kernel (Ubuntu)."""
    runs = readings.installed(kernel, kernel.get("release"))
    if platform.FAMILY != "debian" or runs is None or release == kernel.get("release"):
        return []
    return [
        dpkg.vendor_package(one, release)
        for one in runs.get("prebuilt") or []
        if not dpkg.brings_vendor(release, one)
    ]


# --- meta packages -----------------------------------------------------------------------------------


def _metas(
    kernel: Mapping[str, Any], release: str, version: str | None, available: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """(the meta packages that lead to the target as soon as they are upgraded; sentences on those that do not).

    Those are the installed ones of its flavour and series. One that leads past the target would bring another kernel.
    """
    packages, wanted = kernel.get("packages"), rules.parse_release(release)
    if packages is None:
        why = readings.why(kernel, "packages")
        return [], [f"meta packages are left as they are: which are installed is unknown ({why})"]
    metas, words = [], []
    for meta in packages["metas"]:
        tracked = rules.parse_release(meta["tracks"] or "")
        alike = wanted and tracked and (wanted.flavour, wanted.series) == (tracked.flavour, tracked.series)
        if not alike or meta["tracks"] == release:
            continue
        offers = [one for one in available if one.get("name") == meta["name"] and one.get("version")]
        newest = _newest(kernel, [_Offer("", str(one["version"])) for one in offers])
        if newest is None:
            words.append(f"{meta['name']} is left as it is: which version of it is to be had is unknown")
        elif _leads_to(newest, release, version, offers):
            metas.append(meta["name"])
        else:
            words.append(f"{meta['name']} is left as it is: its version {newest} does not lead to {release}")
    return metas, words


def _leads_to(meta: str, release: str, version: str | None, offers: Sequence[Mapping[str, Any]]) -> bool:
    """By what the archive says, else by its version: Ubuntu counts it with the kernel, Debian gives it the kernel's."""
    told = next((one["tracks"] for one in offers if one.get("version") == meta and one.get("tracks")), None)
    if told:
        return bool(told == release)
    counted, parsed = _UBUNTU_META.match(meta), rules.parse_release(release)
    if counted and parsed and parsed.scheme == "ubuntu":
        return (parsed.upstream, parsed.abi) == counted.groups()
    return version is not None and meta == version


# --- of several kernels ------------------------------------------------------------------------------


def advisories_on(
    kernel: Any, advisories: Sequence[Advisory], release: str, version: str | None
) -> tuple[list[Advisory], list[tuple[Advisory, str]]]:
    """(the advisories that name a kernel on this node, those that may, each with why that cannot be told).

    An advisory of which no source tells whether it speaks of this version is neither.
    """
    subject, node = matching.subject_of(kernel), matching.traits_of(kernel)
    disk = readings.installed(kernel, release)
    package = disk["package"] if disk else None
    if version is None and package:
        version = package["version"]
    # A kernel of another series may be made from another source: linux-hwe-6.8.
    source = subject["source"] if rules.series(release) == rules.series(subject["release"] or "") else None
    if package and package["source"]:
        source = matching.source_of(package["source"])
    its: matching.Subject = {
        **subject,
        "release": release,
        "version": version,
        "source": source,
        "flavour": matching.flavour_of(release),
    }
    bad: list[Advisory] = []
    doubtful: list[tuple[Advisory, str]] = []
    for advisory in advisories:
        answers = [
            matching.judge(advisory, {**its, "version": one}, node)
            for one in ([version] if version else _uploads(release))
        ]
        vouched = any(
            matching.release_of(one) == release and matching.fits(one, its) for one in advisory["good"]
        )
        # What no source tells, nobody can find out either.
        answers = [one for one in answers if not one.unsourced]
        said = {answer.status for answer in answers}
        if said == {matching.AFFECTED}:
            bad.append(advisory)
        elif said & {matching.AFFECTED, matching.UNKNOWN} and not vouched:
            doubtful.append((advisory, answers[0].doubt or _doubt(its)))
    return bad, doubtful


def _uploads(release: str) -> Sequence[str | None]:
    """The first and the last version that a release can have, where it tells that: Ubuntu's and rpm's do."""
    parsed = rules.parse_release(release)
    if parsed is None or parsed.scheme not in ("ubuntu", "rpm"):
        return [None]
    base = f"{parsed.upstream}-{parsed.abi}"
    return [f"{base}.0", f"{base}.{_LAST_UPLOAD}"] if parsed.scheme == "ubuntu" else [base]


def _doubt(subject: matching.Subject) -> str:
    missing = [name for name in ("distro", "source", "version") if not subject[name]]
    return f"its {' and its '.join(missing)} is not known" if missing else "what it is made from is not known"


def _at_least(
    kernel: Any,
    platform: ModuleType,
    minimum: Any,
    available: Sequence[Mapping[str, Any]],
    advisories: Sequence[Advisory],
) -> tuple[str | None, list[str]]:
    """None where the running kernel is enough, else the newest from *minimum* on that no advisory names; with why.

    A minimum without a flavour is of the running one's.
    """
    if not isinstance(minimum, str):
        raise FleetopsError(f"{NAMES[2]} is '{minimum}': expected a text such as '{kernel.get('release')}'")
    running = _running(kernel)
    least = minimum if rules.parse_release(minimum) else f"{minimum}-{matching.flavour_of(running)}"
    _check_kind(running, least, minimum)
    runs = _Offer(running, (kernel.get("package") or {}).get("version"))
    if _from(running, least) and _stays(kernel, running):
        kept, _named = _clean(kernel, [runs], advisories, newest=True)
        if kept:
            return None, [f"{_said(kept)} runs, is not older than {least}, and no advisory names it"]
    offers = [one for one in _of_a_kind(kernel, platform, available) if _from(one.release, least)]
    if not offers:
        raise FleetopsError(
            f"No kernel from {least} on is installed or available: {NAMES[2]} is '{minimum}', and of the kind of "
            f"{running} there is {_some(_of_a_kind(kernel, platform, available))}"
        )
    chosen, named = _clean(kernel, offers, advisories, newest=True)
    if chosen is None:
        raise FleetopsError(f"Every kernel from {least} on is named by an advisory: {'; '.join(named)}")
    return chosen.release, [f"{_said(chosen)} is the newest from {least} on that no advisory names", *named]


def _from(release: str, least: str) -> bool:
    return release == least or versions.newer_kernel_than(release, least)


def _stays(kernel: Any, running: str) -> bool:
    """Is the running kernel still on the disk, in full, and able to boot as far as is known?"""
    disk = readings.installed(kernel, running)
    return bool(
        disk
        and disk["bootable"] is not False
        and disk["package"]
        and disk["package"]["status"].strip() in INSTALLED
    )


def _first_good(
    kernel: Any,
    platform: ModuleType,
    available: Sequence[Mapping[str, Any]],
    advisories: Sequence[Advisory],
    policy: str,
) -> tuple[str, list[str]]:
    """What the advisories lead to, as far as it is to be had; else the first that is to be had and that none names."""
    weighed = good.weigh(kernel, advisories, policy)
    offers = _of_a_kind(kernel, platform, available)
    if available:
        there = {kernel.get("release"), *(one.release for one in offers)}
        weighed = good.narrow(
            weighed,
            lambda release: None if release in there else "it is neither installed nor in the archive",
        )
    because = good.because(weighed)
    if weighed.chosen:
        return weighed.chosen.release, because
    running = _running(kernel)
    newer = [one for one in offers if versions.newer_kernel_than(one.release, running)]
    chosen, named = _clean(kernel, newer, advisories, newest=good.policy_of(policy) == good.NEWEST)
    if chosen is None:
        raise FleetopsError(
            f"No kernel of the kind of {running} is known to be good: {'; '.join([*because, *named])}"
        )
    return chosen.release, [*because, f"{_said(chosen)} is to be had, and no advisory names it"]


def _clean(
    kernel: Any, offers: Sequence[_Offer], advisories: Sequence[Advisory], newest: bool
) -> tuple[_Offer | None, list[str]]:
    """(the newest, or the oldest, that no advisory names; a clause for each that one names or may name)"""
    said = {one: advisories_on(kernel, advisories, one.release, one.version) for one in offers}
    named = [
        f"not {_said(one)}: {', '.join(advisory['id'] for advisory in bad)} names it"
        for one, (bad, _doubtful) in said.items()
        if bad
    ]
    doubted = [
        f"not {_said(one)}: whether {advisory['id']} names it cannot be told ({why})"
        for one, (bad, doubtful) in said.items()
        if not bad
        for advisory, why in doubtful[:1]
    ]
    pool = [one for one, (bad, doubtful) in said.items() if not bad and not doubtful]
    return (pool[-1] if newest else pool[0]) if pool else None, named + doubted


def _of_a_kind(kernel: Any, platform: ModuleType, available: Sequence[Mapping[str, Any]]) -> list[_Offer]:
    """The kernels of the running one's kind, installed or in the archive, oldest first; of each the newest version."""
    running = _running(kernel)
    offers = list(_offers(platform, available))
    for one in kernel["installed"]:
        package = one["package"]
        if one["bootable"] is not False and package and package["status"].strip() in INSTALLED:
            offers.append(_Offer(one["release"], package["version"]))
    found = {
        one.release
        for one in offers
        if rules.parse_release(one.release) and _incomparable(running, one.release) is None
    }
    return [
        _Offer(release, _newest(kernel, [one for one in offers if one.release == release]))
        for release in versions.kernel_sort(sorted(found))
    ]


def _listed(available: Any) -> list[Mapping[str, Any]]:
    """What the archive has, one by one. Raises FleetopsError for what is no such list."""
    if isinstance(available, Mapping) and (available.keys() & {"available", "packages", "skipped"}):
        available = [*(available.get("available") or ()), *(available.get("packages") or ())]
    if isinstance(available, (str, Mapping)) or not all(isinstance(one, Mapping) for one in available):
        raise FleetopsError(
            "What is available is not a list of packages: expected [{name, version}], or what kernel_packages returned"
        )
    return list(available)


def _offers(platform: ModuleType, available: Sequence[Mapping[str, Any]]) -> Iterator[_Offer]:
    for one in available:
        release = platform.release_named(str(one.get("name") or ""))
        if release:
            yield _Offer(release, str(one["version"]) if one.get("version") else None)


def _newest(kernel: Any, offers: Sequence[_Offer]) -> str | None:
    """The newest version among these; None where none is known."""
    newest: str | None = None
    for one in offers:
        if one.version and (newest is None or _is_newer(kernel, one.version, newest)):
            newest = one.version
    return newest


def _is_newer(kernel: Any, version: str, other: str) -> bool:
    by = versions.order_of(kernel["distro"]["id"])
    return versions.key(version, by) > versions.key(other, by)


def _running(kernel: Any) -> str:
    """The release that runs. Raises FleetopsError unless others can be compared with it."""
    release = kernel.get("release")
    if release is None:
        raise FleetopsError(f"The running kernel is unknown: {readings.why(kernel, 'release')}")
    if rules.parse_release(release) is None:
        raise FleetopsError(
            f"{release} runs, which is spelt as no distribution spells its kernels: name the target by "
            f"{NAMES[0]} or {NAMES[1]}"
        )
    return str(release)


def _check_kind(running: str, least: str, said: str) -> None:
    why = (
        _incomparable(running, least) if rules.parse_release(least) else "no distribution spells a kernel so"
    )
    if why:
        raise FleetopsError(
            f"{NAMES[2]} is '{said}', which cannot be compared with {running}, which runs: {why}"
        )


def _incomparable(one: str, other: str) -> str | None:
    mine, its = rules.parse_release(one), rules.parse_release(other)
    return versions.incomparable(mine, its) if mine and its else "it is of no kind that is known"


def _said(offer: _Offer) -> str:
    return f"{offer.release} ({offer.version})" if offer.version else offer.release


def _some(offers: Sequence[_Offer]) -> str:
    more = f" and {len(offers) - MOST_NAMES} more" if len(offers) > MOST_NAMES else ""
    return ", ".join(map(_said, offers[-MOST_NAMES:])) + more if offers else "none"


# --- names -------------------------------------------------------------------------------------------


def release_wanted(kernel: Mapping[str, Any], release: Any = "", package: Any = "") -> str:
    """The release that one of the two names asks for. Raises FleetopsError unless exactly one does."""
    if bool(release) == bool(package):
        raise FleetopsError(
            "Name the kernel by exactly one of kernel_upgrade_release and kernel_upgrade_package: "
            f"got release '{release}' and package '{package}'"
        )
    if not isinstance(release or package, str):
        raise FleetopsError(
            f"kernel_upgrade_{'release' if release else 'package'} is '{release or package}': expected a text"
        )
    if release:
        return str(release)
    platform = _platform.select(kernel.get("distro"))
    if platform is None:
        raise FleetopsError(f"Kernels cannot be installed on this distribution yet: {_name(kernel)}")
    # rpm's names may go without the architecture.
    named = (package, f"{package}.{kernel.get('architecture')}")
    found: str | None = next((found for found in map(platform.release_named, named) if found), None)
    if found is None:
        raise FleetopsError(
            f"Not the package of a kernel image: '{package}', expected one like '{platform.EXAMPLE}'"
        )
    return found


def part(facts: Mapping[str, Any], key: str) -> Any:
    """What one reader returned. Raises FleetopsError when it did not run."""
    part = facts.get(key) if isinstance(facts, Mapping) else None
    if not part:
        raise FleetopsError(f"The node was not read: {key} is missing from its facts")
    return part


def kernel_of(facts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The kernel's facts, with those of *names* that nobody gathered as unknown ones."""
    kernel = part(facts, "fleetops_kernel")
    missing = {name: "it was not gathered" for name in names if name not in kernel}
    return {
        **dict.fromkeys(missing),
        **kernel,
        "unknown": {**missing, **(kernel.get("unknown") or {})},
    }


def truth(name: str, value: Any) -> bool:
    """Yes or no; with ``-e`` it is a text. Raises FleetopsError for what is neither."""
    words = {"true": True, "yes": True, "false": False, "no": False, "": False}
    found = words.get(str(value).lower())
    if found is None:
        raise FleetopsError(f"{name} is '{value}': expected true or false")
    return found


def _name(kernel: Mapping[str, Any]) -> str:
    distro = kernel.get("distro") or {}
    return f"{distro.get('id') or 'unknown'} {distro.get('version_id') or ''}".strip()
