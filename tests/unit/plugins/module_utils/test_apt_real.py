# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_packages and its way back on a system that the real apt and dpkg made, of stub kernels.

The stubs have the names, the versions and the dependencies of Ubuntu 22.04's kernels. Nothing is downloaded, and the
system is a folder: what apt and dpkg do, they do there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import (
    _apt,
    _aptmarks,
    _aptothers,
    debian,
)
from ansible_collections.fleetops.kernel.plugins.modules import kernel_packages
from ansible_collections.fleetops.kernel.plugins.modules import undo as undo_module

# (abi, upload) of Ubuntu 22.04's kernels, and of the meta package that led to each.
KERNELS = ((91, 101, 88), (112, 122, 109), (153, 163, 150))
RELEASES = tuple(f"5.15.0-{abi}-generic" for abi, _upload, _meta in KERNELS)
VERSIONS = tuple(f"5.15.0-{abi}.{upload}" for abi, upload, _meta in KERNELS)
METAS = tuple(f"5.15.0.{abi}.{meta}" for abi, _upload, meta in KERNELS)
OLD, NEW, NEWEST = RELEASES
IMAGE, MODULES, EXTRA, HEADERS = (
    f"linux-{kind}-{NEW}" for kind in ("image", "modules", "modules-extra", "headers")
)
# With $DPKG_ROOT, since dpkg runs the scripts of a folder without going into it.
FAILS_WHEN_TOLD = '#!/bin/sh\n[ ! -e "$DPKG_ROOT/fail" ]\n'


def stub(
    folder: Path, name: str, version: str, depends: str = "", more: str = "", postinst: str = ""
) -> None:
    """A package with a file, of one MiB by its own word."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "lib/modules").mkdir(parents=True)
    (tree / "lib/modules" / name).write_text(name)
    needs = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Stub <stub@example.com>\n"
        f"Installed-Size: 1024\n{needs}{more}Description: stub\n"
    )
    if postinst:
        (tree / "DEBIAN/postinst").write_text(postinst)
        (tree / "DEBIAN/postinst").chmod(0o755)
    argv = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(folder / "pool")]
    subprocess.run(argv, check=True, capture_output=True)


def index(pool: Path) -> str:
    """What dpkg-scanpackages would write: it is in a package of developers."""
    blocks = []
    for path in sorted(pool.glob("*.deb")):
        control = subprocess.check_output(["dpkg-deb", "--field", str(path)], text=True)
        digest = subprocess.check_output(["sha256sum", str(path)], text=True).split()[0]
        size = path.stat().st_size
        blocks.append(f"{control.rstrip()}\nFilename: ./{path.name}\nSize: {size}\nSHA256: {digest}\n")
    return "\n".join(blocks)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pool").mkdir()
    for release, version, meta in zip(RELEASES, VERSIONS, METAS, strict=True):
        plain = release.removesuffix("-generic")
        image = f"linux-image-{release}"
        stub(folder, f"linux-modules-{release}", version)
        stub(folder, image, version, f"linux-modules-{release}", postinst=FAILS_WHEN_TOLD)
        stub(folder, f"linux-modules-extra-{release}", version, f"linux-modules-{release}, {image}")
        stub(folder, f"linux-headers-{plain}", version)
        stub(folder, f"linux-headers-{release}", version, f"linux-headers-{plain}")
        stub(folder, "linux-image-generic", meta, f"{image}, linux-modules-extra-{release}")
        stub(folder, "linux-headers-generic", meta, f"linux-headers-{release}")
        stub(
            folder,
            "linux-generic",
            meta,
            f"linux-image-generic (= {meta}), linux-headers-generic (= {meta})",
        )
    stub(folder, "linux-image-5.15.0-112-lowlatency", VERSIONS[1])
    stub(folder, "linux-image-6.8.0-31-generic", "6.8.0-31.31", more="Conflicts: linux-headers-generic\n")
    stub(folder, "linux-image-6.8.0-40-generic", "6.8.0-40.40", "linux-modules-6.8.0-40-generic")
    (folder / "pool/Packages").write_text(index(folder / "pool"))
    return folder / "pool"


class Machine(Host):
    """A system in a folder: apt and dpkg work on it, and systemctl knows apt's timers."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.active = {"apt-daily.timer"}
        self.free = 1 << 30
        self.ran: list[str] = []
        self.meanwhile: Callable[[], None] | None = None

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.ran.append(" ".join(argv))
        real, config = list(argv), str(Path(self.root).parent / "apt.conf")
        if argv[0] == "systemctl":
            return self.systemctl(argv[1], argv[2:])
        if "--no-remove" in argv and self.meanwhile is not None:
            self.meanwhile()
        if argv[0] == "dpkg-query":
            real.insert(1, f"--admindir={self.root}/var/lib/dpkg")
        elif argv[0] == "dpkg":
            real[0] = str(Path(self.root).parent / "dpkg")
        elif argv[0] == "stat":
            real[-1] = self._real(argv[-1])
        else:
            assert argv[0] in ("apt-get", "apt-cache", "apt-mark")
        done = subprocess.run(
            real,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C", "APT_CONFIG": config, **(env or {})},
        )
        return self._checked(argv, done.returncode, done.stdout, done.stderr, ok)

    def systemctl(self, verb: str, names: Sequence[str]) -> str:
        if verb == "is-active":
            return "active\n" if names[0] in self.active else "inactive\n"
        self.active = self.active | set(names) if verb == "start" else self.active - set(names)
        return ""

    def disk(self, path: str) -> tuple[int, int]:
        return 1 << 40, self.free

    # Processes are those of the machine that the tests run on.
    def read(self, path: str) -> str:
        return Path(path).read_text() if _of_a_process(path) else super().read(path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path) if _of_a_process(path) else super().listdir(path)

    def resolve(self, path: str) -> str:
        return os.path.realpath(path) if _of_a_process(path) else str(self._real(path))

    def states(self) -> dict[str, str]:
        row = "--showformat=${Package} ${Version} ${db:Status-Abbrev}\n"
        lines = [line.split() for line in self.run(["dpkg-query", "--show", row]).splitlines()]
        return {f"{name} {version}": letters for name, version, letters in lines}

    def set(self, path: str, text: str) -> None:
        Path(self.root + path).write_text(text)

    def break_(self, name: str, status: str) -> None:
        """What a power cut leaves of a package."""
        path = "/var/lib/dpkg/status"
        before, block = super().read(path).split(f"Package: {name}\n", 1)
        self.set(path, f"{before}Package: {name}\n" + block.replace("install ok installed", status, 1))


def _of_a_process(path: str) -> bool:
    return path == "/proc/locks" or (path.startswith("/proc/") and path.split("/")[2].isdigit())


def furnish(root: Path, pool: Path) -> None:
    """apt's settings, beside the folder: they name it."""
    wrapper = root.parent / "dpkg"
    wrapper.write_text(
        f'#!/bin/sh\nexec dpkg --root={root} --force-script-chrootless --force-not-root --force-unsafe-io "$@"\n'
    )
    wrapper.chmod(0o755)
    (root.parent / "apt.conf").write_text(
        f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nDir::Bin::dpkg "{wrapper}";\n'
        'APT::Architecture "amd64";\nAPT::Sandbox::User "root";\n'
    )
    # copy: as from a server, into apt's cache; a file: would be used where it lies.
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:{pool} ./\n")


@pytest.fixture(scope="module")
def installed(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with the old kernel, which runs, and with the meta packages that led to it."""
    root = tmp_path_factory.mktemp("installed") / "root"
    for folder in (
        "etc/apt/preferences.d",
        *(f"var/lib/dpkg/{name}" for name in ("info", "updates", "triggers")),
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/log/apt",
        "usr",
        "proc/sys/kernel/random",
    ):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / CAPTURE_FILE).write_text("{}")  # it stands for a machine that runs
    (root / "proc/sys/kernel/osrelease").write_text(f"{OLD}\n")
    (root / "proc/sys/kernel/random/boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
    furnish(root, pool)
    host = Machine(root)
    host.run(["apt-get", "update"])
    names = [
        f"{name}={METAS[0]}" for name in ("linux-generic", "linux-image-generic", "linux-headers-generic")
    ]
    host.run(["apt-get", "-y", "install", *names])
    host.run(["apt-get", "clean"])
    return root


@pytest.fixture
def system(installed: Path, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A copy of it, to be changed."""
    shutil.copytree(installed, tmp_path / "root", symlinks=True)
    furnish(tmp_path / "root", pool)
    monkeypatch.setattr(_guard, "require_platform", lambda host, role="": debian)
    return Machine(tmp_path / "root")


@pytest.fixture
def locked() -> str:
    """The lock that somebody has."""
    return "/var/lib/dpkg/lock-frontend"


@pytest.fixture
def keeper(system: Machine, locked: str) -> Iterator[subprocess.Popen[str]]:
    """Somebody who has it."""
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
        "print('locked', flush=True); input()"
    )
    path = f"{system.root}{locked}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    yield process
    process.communicate("\n", timeout=60)


def play(
    host: Machine, names: Sequence[str], state: str = "present", check_mode: bool = False, **more: Any
) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    given = {
        "names": list(names),
        "state": state,
        "lock_timeout": 0,
        "allow_held": False,
        "update_cache": False,
        "repair": False,
        **more,
    }
    if not check_mode:
        kernel_packages.prepare(host, given)
    result = kernel_packages.run(host, given)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(kernel_packages.apply(host, given, result))
    return bool(result.plan), returned, result


def problems(host: Machine, names: Sequence[str], **more: Any) -> list[str]:
    _changed, returned, _result = play(host, names, check_mode=True, **more)
    assert all(problem["remedy"] and problem["kind"] for problem in returned["problems"])
    return [problem["problem"] for problem in returned["problems"]]


def put_back(host: Machine, identity: str) -> None:
    (undo,) = [undo for undo in _undo.records(host) if undo["id"] == identity]
    assert _restore.conflicts(host, [undo]) == []
    _restore.put_back(host, undo)


# --- present -----------------------------------------------------------------------------------------


def test_check_mode_is_exact_and_touches_nothing(system: Machine, pool: Path) -> None:
    before = system.states()
    changed, predicted, result = play(system, [IMAGE, EXTRA], check_mode=True)
    assert changed
    assert system.states() == before
    assert _undo.records(system) == []
    assert [(one["name"], one["version"], one["action"]) for one in predicted["packages"]] == [
        (IMAGE, VERSIONS[1], "install"),
        (EXTRA, VERSIONS[1], "install"),
        (MODULES, VERSIONS[1], "install"),
    ]
    assert all(one["installed_bytes"] == 1 << 20 for one in predicted["packages"])
    names = [f"{name}_{VERSIONS[1]}_amd64.deb" for name in (IMAGE, EXTRA, MODULES)]
    assert [one["download_bytes"] for one in predicted["packages"]] == [
        (pool / name).stat().st_size for name in names
    ]
    assert predicted["download_bytes"] == sum(one["download_bytes"] for one in predicted["packages"])
    assert (predicted["problems"], predicted["removes"], predicted["metas"]) == ([], [], [])
    assert predicted["undo"] is None
    assert isinstance(result.diff, list)
    assert result.diff[0]["after"] == "".join(f"{name} {VERSIONS[1]}\n" for name in (IMAGE, MODULES, EXTRA))


def test_installed_once_and_put_back(system: Machine) -> None:
    before = system.states()
    changed, done, _result = play(system, [IMAGE, EXTRA])
    assert changed
    assert {f"{name} {VERSIONS[1]}" for name in (IMAGE, EXTRA, MODULES)} == set(system.states()) - set(before)
    # The running kernel, installed for a meta package's sake, is safe from an autoremove now.
    running = f"linux-image-{OLD}"
    assert _apt.automatic(system, [running]) == []
    changed, again, result = play(system, [IMAGE, EXTRA])
    assert not changed
    assert again["undo"] is None
    assert [one["action"] for one in again["packages"]] == ["none", "none"]
    assert isinstance(result.diff, list)
    assert (result.diff[0]["before"], result.diff[0]["after"]) == ("", "")

    put_back(system, done["undo"])
    assert system.states() == before
    assert _apt.automatic(system, [running]) == [running]


def marked(system: Machine) -> dict[str, bool]:
    """Whether each installed package counts as installed by hand."""
    names = [one.split()[0] for one in system.states()]
    manual = system.run(["apt-mark", "showmanual"]).split()
    return {name: name in manual for name in names}


OLD_ONES = [f"linux-{kind}-{OLD}" for kind in ("headers", "image", "modules-extra")]


def test_the_running_kernel_is_protected_and_given_back(system: Machine) -> None:
    running = f"linux-image-{OLD}"
    system.run(["apt-mark", "manual", f"linux-headers-{OLD}"])
    before = marked(system)
    changed, looked, result = play(system, [running], "protected", check_mode=True)
    assert (changed, looked["problems"], marked(system)) == (True, [], before)
    assert isinstance(result.diff, list)
    assert result.diff[0]["after"].split() == OLD_ONES[1:]
    changed, done, _result = play(system, [running], "protected")
    assert changed
    # Its other modules are as much a part of the way back, and a meta package alone needs them.
    assert [name for name, now in marked(system).items() if now != before[name]] == OLD_ONES[1:]
    assert not play(system, [running], "protected")[0]
    put_back(system, done["undo"])
    assert marked(system) == before
    play(system, [running], "protected")
    # Another kernel runs now, and was committed.
    play(system, [IMAGE, EXTRA, "linux-image-generic"])
    system.set("/proc/sys/kernel/osrelease", f"{NEW}\n")
    changed, done, _result = play(system, [], "unprotected")
    assert changed
    now = marked(system)
    assert {name: now[name] for name in before} == before, "what the site has marked stays so"
    # No meta package leads to what runs: nothing but its mark keeps it.
    assert (now[IMAGE], now[EXTRA]) == (True, True)
    assert not play(system, [], "unprotected")[0]
    put_back(system, done["undo"])
    assert marked(system)[running]
    play(system, [], "unprotected")
    system.set("/proc/sys/kernel/osrelease", f"{NEWEST}\n")
    assert play(system, [], "unprotected")[0]
    assert not marked(system)[IMAGE]
    assert not system.exists(_aptmarks.PROTECTED)


def test_a_running_kernel_that_a_meta_package_leads_to_is_given_back(system: Machine) -> None:
    play(system, [f"linux-image-{NEWEST}", f"linux-modules-extra-{NEWEST}", "linux-image-generic"])
    system.set("/proc/sys/kernel/osrelease", f"{NEWEST}\n")
    assert play(system, [], "unprotected")[0]
    assert [name for name, by_hand in marked(system).items() if by_hand] == [
        "linux-generic",
        "linux-headers-generic",
        "linux-image-generic",
    ]


def test_a_kill_between_the_note_and_the_mark_loses_nothing(
    system: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = f"linux-image-{OLD}"
    before = marked(system)
    run = system.run

    def killed(argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if list(argv[:2]) == ["apt-mark", "manual"]:
            raise SystemExit
        return run(argv, ok, env)

    with monkeypatch.context() as patch:
        patch.setattr(system, "run", killed)
        with pytest.raises(SystemExit):
            play(system, [running], "protected")
    (undo,) = _undo.records(system)
    assert undo["restore"] == [{"do": "unprotect_packages", "names": OLD_ONES}]
    assert _aptmarks.protected(system) == OLD_ONES
    assert play(system, [running], "protected")[0]
    assert marked(system)[running]
    system.set("/proc/sys/kernel/osrelease", f"{NEW}\n")
    play(system, [], "unprotected")
    assert marked(system) == before


def test_what_is_not_there_is_not_protected(system: Machine) -> None:
    with pytest.raises(FleetopsError, match=f"{IMAGE} is not installed"):
        play(system, [IMAGE], "protected")
    assert not play(system, [], "unprotected")[0]


def test_timers_rest_in_the_meantime(system: Machine) -> None:
    seen: list[set[str]] = []
    system.meanwhile = lambda: seen.append(system.active)
    play(system, [IMAGE])
    assert seen == [set()]
    assert system.active == {"apt-daily.timer"}
    assert not system.exists(_aptothers.STOPPED)


def test_a_killed_run_leaves_its_timers_to_the_next_one(system: Machine) -> None:
    play(system, [IMAGE])
    system.active = set()
    system.write_atomic(_aptothers.STOPPED, "apt-daily.timer\n")
    changed, done, _result = play(system, [IMAGE])
    assert changed
    assert done["undo"] is None
    assert system.active == {"apt-daily.timer"}
    assert not play(system, [IMAGE])[0]


def test_a_meta_package_goes_along_and_comes_back(system: Machine) -> None:
    before = system.states()
    names = [f"linux-image-{NEWEST}", "linux-image-generic"]
    _changed, predicted, result = play(system, names, check_mode=True)
    # One of them depends on its own version of the others.
    metas = ["linux-generic", "linux-headers-generic", "linux-image-generic"]
    assert sorted(predicted["metas"]) == ["linux-generic", "linux-image-generic"]
    assert result.warnings == []
    actions = {one["name"]: one["action"] for one in predicted["packages"]}
    assert [actions[name] for name in metas] == ["upgrade"] * 3
    _changed, done, _result = play(system, names)
    assert done["metas"] == predicted["metas"]
    assert f"linux-generic {METAS[2]}" in system.states()
    put_back(system, done["undo"])
    assert system.states() == before


def only_newer_metas(system: Machine, pool: Path) -> None:
    """Sources that have the meta packages of the running kernel no more."""
    text = (pool / "Packages").read_text()
    blocks = [block for block in text.split("\n\n") if f"Version: {METAS[0]}" not in block]
    (Path(system.root).parent / "pool").mkdir()
    for path in pool.glob("*.deb"):
        (Path(system.root).parent / "pool" / path.name).symlink_to(path)
    (Path(system.root).parent / "pool/Packages").write_text("\n\n".join(blocks))
    system.set("/etc/apt/sources.list", f"deb [trusted=yes] copy:{Path(system.root).parent}/pool ./\n")


def test_a_meta_package_that_cannot_come_back_is_named(system: Machine, pool: Path) -> None:
    only_newer_metas(system, pool)
    _changed, _done, result = play(system, ["linux-image-generic"], update_cache=True)
    assert any(f"linux-image-generic {METAS[0]}" in warning for warning in result.warnings)


def test_what_fails_is_taken_away_again(system: Machine) -> None:
    before = system.states()
    system.set("/fail", "")
    with pytest.raises(FleetopsError, match=r"apt-get .* failed .*Everything was put back as it was"):
        play(system, [IMAGE, EXTRA])
    assert system.states() == before
    assert system.active == {"apt-daily.timer"}
    assert _undo.records(system) == []


def test_nothing_is_taken_away_that_would_take_a_meta_package_along(system: Machine, pool: Path) -> None:
    only_newer_metas(system, pool)
    system.set("/fail", "")
    with pytest.raises(FleetopsError) as error:
        play(system, ["linux-image-generic"], update_cache=True)
    assert "Everything was put back" not in error.value.msg
    assert f"linux-image-{NEWEST}" in error.value.msg
    assert " stays installed: removing it would remove linux-" in error.value.msg
    assert "linux-generic" in error.value.msg
    assert " as well, which no source has in its old version" in error.value.msg
    now = {name.split()[0]: letters for name, letters in system.states().items()}
    assert {"linux-generic", "linux-image-generic", f"linux-image-{NEWEST}"} <= set(now)
    assert not any(" remove " in line and " -s " not in line for line in system.ran)
    (undo,) = _undo.records(system)
    assert error.value.context["undo"] == undo["id"]


def test_an_undo_takes_nothing_along_that_it_does_not_name(system: Machine) -> None:
    play(system, [IMAGE, EXTRA])
    before = system.states()
    undo = _undo.record(system, "kernel_upgrade", None, [{"do": "remove_package", "names": [IMAGE]}])
    with pytest.raises(
        FleetopsError, match=rf"^{IMAGE} stays installed: removing it would remove {EXTRA} as well\."
    ) as error:
        _restore.put_back(system, undo)
    ((_step, why),) = _restore.refused(system, [undo])
    assert why == f"{undo['id']}: {error.value.msg.partition('. Of ')[0]}"
    assert system.states() == before
    assert undo in _undo.records(system)


def test_what_an_undo_will_be_refused_is_known_before(system: Machine) -> None:
    # The record of a meta package goes back to the old one first: only then nothing needs the new image.
    names = [f"linux-image-{NEWEST}", "linux-image-generic"]
    _changed, done, _result = play(system, names)
    (undo,) = [undo for undo in _undo.records(system) if undo["id"] == done["undo"]]
    assert [step["do"] for step in undo["restore"]][:2] == ["install_package", "remove_package"]
    assert _restore.refused(system, [undo]) == []
    before = system.states()
    without: Any = {**undo, "restore": undo["restore"][1:]}
    alone: Any = {**undo, "restore": undo["restore"][1:2]}
    ((_step, why),) = _restore.refused(system, [without])
    assert "stays installed: removing it would remove linux-" in why
    assert system.states() == before
    # A kernel that is held, as one that failed is.
    system.run(["apt-mark", "hold", f"linux-image-{NEWEST}"])
    ((_step, why),) = _restore.refused(system, [undo])
    assert f"linux-image-{NEWEST} is held" in why
    with pytest.raises(FleetopsError, match=f"linux-image-{NEWEST} is held"):
        _restore.put_back(system, alone)
    later = _undo.record(
        system,
        "kernel_packages",
        None,
        [{"do": "run", "argv": ["apt-mark", "unhold", f"linux-image-{NEWEST}"]}],
    )
    assert _restore.refused(system, [undo, later]) == []
    system.run(["apt-mark", "unhold", f"linux-image-{NEWEST}"])
    # Two records that need one another.
    first = _undo.record(system, "kernel_packages", None, [{"do": "remove_package", "names": [IMAGE]}])
    play(system, [IMAGE, EXTRA])
    second = _undo.record(system, "kernel_packages", None, [{"do": "remove_package", "names": [EXTRA]}])
    assert len(_restore.refused(system, [first])) == 1
    assert _restore.refused(system, [first, second]) == []


def test_lists_are_refreshed_on_demand(system: Machine) -> None:
    for path in Path(system.root, "var/lib/apt/lists").glob("*Packages"):
        path.unlink()
    assert "no package" in problems(system, [IMAGE], update_cache=True)[0]
    changed, done, _result = play(system, [IMAGE], update_cache=True)
    assert changed
    assert done["undo"]


def test_what_is_to_be_had(system: Machine) -> None:
    changed, returned, _result = play(system, [], check_mode=True)
    assert not changed
    assert [(one["release"], one["version"]) for one in returned["available"]] == [
        *zip(RELEASES, VERSIONS, strict=True),
        ("6.8.0-31-generic", "6.8.0-31.31"),
        ("6.8.0-40-generic", "6.8.0-40.40"),
    ]


# --- what stands in the way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("linux-image-5.15.0-120-generic", [IMAGE, f"linux-image-{NEWEST}"]),
        ("linux-image-5.15.0-9-generic", [f"linux-image-{OLD}"]),
        ("linux-image-5.15.0-112-genric", [IMAGE]),
        ("linux-modules-extra-5.15.0-160-generic", [f"linux-modules-extra-{NEWEST}"]),
        # apt-get would take these for patterns, and install what they match.
        ("linux-image-5.15.0-112", [IMAGE, "linux-image-5.15.0-112-lowlatency"]),
        ("linux.image-generic", []),
    ],
)
def test_a_name_that_does_not_exist(system: Machine, name: str, near: list[str]) -> None:
    (said,) = problems(system, [name])
    assert said.startswith(f"there is no package {name}")
    assert all(one in said for one in near)
    with pytest.raises(FleetopsError, match=rf"Nothing was changed: there is no package {name}"):
        play(system, [name])


@pytest.mark.parametrize("name", ["linux-image-*", f"{IMAGE}-", f"{IMAGE}+", f"{IMAGE}=1", "", "-o", "Linux"])
def test_what_is_no_name(system: Machine, name: str) -> None:
    with pytest.raises(FleetopsError, match="is no exact name of a package"):
        play(system, [name])


def test_held(system: Machine) -> None:
    names = [IMAGE, "linux-image-generic"]
    before = system.states()
    _changed, done, _result = play(system, names, "held")
    assert not play(system, names, "held")[0]
    assert problems(system, names) == ["held: linux-image-generic, linux-image-5.15.0-112-generic"]
    with pytest.raises(FleetopsError, match="Nothing was changed: held: "):
        play(system, names)
    # Another meta package would pull the held one along.
    assert "held, and it would be changed along: linux-image-generic" in problems(system, ["linux-generic"])
    assert "held, and it would be changed along: linux-image-generic" in problems(
        system, ["linux-generic"], allow_held=True
    )

    _changed, installed, _result = play(system, names, allow_held=True)
    assert system.states()[f"{IMAGE} {VERSIONS[1]}"] == "hi"
    assert system.states()[f"linux-image-generic {METAS[2]}"] == "hi"
    assert not play(system, names, allow_held=True)[0]
    play(system, names, "released")
    put_back(system, installed["undo"])
    put_back(system, done["undo"])
    assert system.states() == before


def test_a_hold_that_a_killed_run_has_lost_is_held_again(
    system: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["linux-image-generic"]
    play(system, names, "held")
    run = system.run

    def killed(argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if list(argv[:2]) == ["apt-mark", "hold"]:
            raise SystemExit
        return run(argv, ok, env)

    with monkeypatch.context() as patch:
        patch.setattr(system, "run", killed)
        with pytest.raises(SystemExit):
            play(system, names, allow_held=True)
    meta = f"linux-image-generic {METAS[2]}"
    assert system.states()[meta] == "ii"
    (first,) = [undo for undo in _undo.records(system) if undo["before"]]
    # Who does not allow it asks for no hold.
    assert not play(system, names, check_mode=True)[0]
    changed, _returned, result = play(system, names, check_mode=True, allow_held=True)
    assert changed
    assert isinstance(result.diff, list)
    assert {"before": "", "after": "linux-image-generic\n"}.items() <= result.diff[-1].items()
    assert system.states()[meta] == "ii"
    changed, done, _result = play(system, names, allow_held=True)
    assert changed
    assert done["undo"] == first["id"]
    assert system.states()[meta] == "hi"
    assert not play(system, names, allow_held=True)[0]
    # What somebody releases after that stays released.
    system.run(["apt-mark", "unhold", *names])
    assert not play(system, names, allow_held=True)[0]
    assert system.states()[meta] == "ii"


def test_what_there_is_none_of_is_not_held(system: Machine) -> None:
    with pytest.raises(FleetopsError, match="there is no package linux-image-5"):
        play(system, ["linux-image-5.15.0-999-generic"], "held")
    assert not play(system, ["linux-image-5.15.0-999-generic"], "released")[0]


def test_held_and_released_and_back(system: Machine) -> None:
    image = f"linux-image-{OLD}"
    changed, done, result = play(system, [image], "held")
    assert changed
    assert isinstance(result.diff, list)
    assert (result.diff[0]["before"], result.diff[0]["after"]) == ("", f"{image}\n")
    assert system.states()[f"{image} {VERSIONS[0]}"] == "hi"
    put_back(system, done["undo"])
    assert system.states()[f"{image} {VERSIONS[0]}"] == "ii"
    assert not play(system, [image], "released")[0]
    play(system, [image], "held")
    changed, done, _result = play(system, [image], "released")
    assert changed
    assert system.states()[f"{image} {VERSIONS[0]}"] == "ii"
    put_back(system, done["undo"])
    assert system.states()[f"{image} {VERSIONS[0]}"] == "hi"


def test_pins(system: Machine) -> None:
    system.set(
        "/etc/apt/preferences.d/site",
        f"Package: {IMAGE}\nPin: version *\nPin-Priority: -1\n\n"
        f"Package: linux-image-generic\nPin: version {METAS[0]}\nPin-Priority: 1001\n",
    )
    assert problems(system, [IMAGE, "linux-image-generic"]) == [
        f"{IMAGE} {VERSIONS[1]} is kept out by a pin in /etc/apt/preferences.d/site",
        (
            f"linux-image-generic is held at {METAS[0]} by a pin in /etc/apt/preferences.d/site, "
            f"and {METAS[2]} is to be had"
        ),
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("install ok half-configured", "half-configured"),
        ("install ok unpacked", "unpacked"),
        ("install reinstreq half-installed", "half-installed, must be reinstalled"),
    ],
)
def test_what_a_power_cut_has_left(system: Machine, status: str, words: str) -> None:
    broken = "linux-headers-generic"
    system.break_(broken, status)
    assert problems(system, [IMAGE]) == [f"dpkg has not finished {broken} ({words})"]
    with pytest.raises(FleetopsError, match=f"dpkg has not finished {broken}"):
        play(system, [IMAGE])
    assert problems(system, [IMAGE], repair=True) == []
    changed, done, _result = play(system, [IMAGE], repair=True)
    assert changed
    assert done["undo"]
    assert set(system.states().values()) == {"ii"}
    assert not play(system, [IMAGE], repair=True)[0]


def test_a_power_cut_in_the_middle_of_this_very_package(system: Machine, pool: Path) -> None:
    # Unpacked, while what it needs is not there at all: apt refuses all else.
    system.run(["dpkg", "--unpack", f"{pool}/{IMAGE}_{VERSIONS[1]}_amd64.deb"])
    system.set("/var/lib/dpkg/updates/0001", "")
    assert problems(system, [IMAGE]) == [
        f"dpkg has not finished {IMAGE} (unpacked)",
        "dpkg was interrupted before it had written down what it did",
    ]
    with pytest.raises(FleetopsError, match="Nothing was changed"):
        play(system, [IMAGE])
    # Whoever will finish it is asked about the rest only, but apt downloads nothing over it.
    assert problems(system, [IMAGE, EXTRA], state="downloaded", repair=True) == []
    with pytest.raises(FleetopsError, match=r"--download-only .* dpkg was interrupted"):
        play(system, [IMAGE, EXTRA], "downloaded", repair=True)
    # The record of the run that was cut off stands for what is finished now.
    steps = [{"do": "remove_package", "names": [IMAGE, MODULES]}]
    first = _undo.record(system, "kernel_packages", None, steps)
    changed, done, _result = play(system, [IMAGE], repair=True)
    assert changed
    assert done["undo"] == first["id"]
    changed, done, _result = play(system, [IMAGE, EXTRA])
    assert changed
    assert done["undo"] != first["id"]
    assert system.states()[f"{IMAGE} {VERSIONS[1]}"] == "ii"
    assert system.states()[f"{EXTRA} {VERSIONS[1]}"] == "ii"
    assert not play(system, [IMAGE, EXTRA], repair=True)[0]


def test_what_conflicts_and_what_cannot_be(system: Machine) -> None:
    (said, *_others) = problems(system, ["linux-image-6.8.0-31-generic"])
    assert said == "to install it, linux-generic, linux-headers-generic would be removed"
    _changed, returned, _result = play(system, ["linux-image-6.8.0-31-generic"], check_mode=True)
    assert returned["removes"] == ["linux-generic", "linux-headers-generic"]
    (said,) = problems(system, ["linux-image-6.8.0-40-generic"])
    assert said.startswith("apt finds no way: ")
    assert "linux-modules-6.8.0-40-generic" in said
    for state in ("present", "downloaded"):
        with pytest.raises(FleetopsError, match="apt finds no way"):
            play(system, ["linux-image-6.8.0-40-generic"], state)


def test_no_space(system: Machine) -> None:
    system.free = 2 << 20
    (said,) = problems(system, [IMAGE])
    assert said.startswith("not enough space: ")
    assert said.endswith("and 2.0 MiB are free")
    assert "2.0 MiB for what is unpacked below /usr = 2.0 MiB" in said
    system.free = 3 << 20
    assert problems(system, [IMAGE]) == []


def test_the_holder_of_the_lock_is_named(system: Machine, keeper: subprocess.Popen[str]) -> None:
    name = Path(f"/proc/{keeper.pid}/comm").read_text().strip()
    expected = f"{name} (process {keeper.pid}) holds the lock /var/lib/dpkg/lock-frontend"
    assert problems(system, [IMAGE]) == [expected]
    for state in ("present", "downloaded", "held"):
        with pytest.raises(FleetopsError) as error:
            play(system, [IMAGE], state)
        assert expected in error.value.msg
    # Whoever only looks is told what a change would wait for.
    _changed, looked, result = play(system, [IMAGE], check_mode=True, lock_timeout=30)
    assert result.warnings == [f"{expected}: the change waits for it, up to 30 seconds"]
    (problem,) = looked["problems"]
    assert (problem["kind"], problem["packages"]) == ("locked", [])
    # What is done already needs no lock.
    assert not play(system, [f"linux-image-{OLD}"])[0]


def test_lists_are_refreshed_whoever_installs(system: Machine, keeper: subprocess.Popen[str]) -> None:
    assert keeper.pid
    _apt.update_lists(system, 0)
    assert any(" update" in line for line in system.ran)


@pytest.mark.parametrize("locked", ["/var/lib/apt/lists/lock"])
def test_who_refreshes_the_lists_already_is_named(system: Machine, keeper: subprocess.Popen[str]) -> None:
    expected = f"process {keeper.pid}) holds the lock /var/lib/apt/lists/lock"
    with pytest.raises(FleetopsError) as error:
        _apt.update_lists(system, 0)
    assert expected in error.value.msg
    assert not any(line.endswith(" update") for line in system.ran)


def test_a_lock_is_waited_for(
    system: Machine, keeper: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = time.sleep

    def end(_seconds: float) -> None:
        keeper.terminate()
        sleep(0.1)

    monkeypatch.setattr(time, "sleep", end)
    changed, done, _result = play(system, [IMAGE], lock_timeout=600)
    assert changed
    assert done["undo"]


def test_all_at_once(system: Machine, keeper: subprocess.Popen[str]) -> None:
    names = [IMAGE, "linux-image-5.15.0-1-generic", "linux-image-generic"]
    system.break_("linux-headers-generic", "install ok half-configured")
    system.break_("linux-image-generic", "hold ok installed")
    system.free = 0
    found = problems(system, names)
    assert [one.split()[0] for one in found] == [
        "there",
        "dpkg",
        "held:",
        "not",
        Path(f"/proc/{keeper.pid}/comm").read_text().split()[0],
    ]
    before = system.states()
    with pytest.raises(FleetopsError) as error:
        play(system, names)
    assert [one["problem"] for one in error.value.context["problems"]] == found
    assert system.states() == before
    assert _undo.records(system) == []


# --- downloaded, absent ------------------------------------------------------------------------------


def test_downloaded_once(system: Machine) -> None:
    before = system.states()
    changed, done, result = play(system, [IMAGE], "downloaded")
    assert changed
    assert done["undo"] is None
    files = [f"{name}_{VERSIONS[1]}_amd64.deb" for name in (IMAGE, MODULES)]
    assert isinstance(result.diff, list)
    assert result.diff[0]["after"] == "".join(f"{name}\n" for name in files)
    assert all(Path(system.root, "var/cache/apt/archives", name).exists() for name in files)
    assert system.states() == before
    changed, done, _result = play(system, [IMAGE], "downloaded")
    assert not changed
    assert done["download_bytes"] == 0
    assert play(system, [IMAGE])[1]["download_bytes"] == 0


def test_downloaded_although_held(system: Machine) -> None:
    play(system, ["linux-image-generic"], "held")
    assert play(system, ["linux-image-generic"], "downloaded", allow_held=True)[0]
    assert system.states()[f"linux-image-generic {METAS[0]}"] == "hi"


def test_removed_and_back(system: Machine) -> None:
    play(system, [IMAGE, EXTRA])
    before = system.states()
    (said,) = problems(system, [IMAGE], state="absent")
    assert said == f"{EXTRA} would be removed as well"
    changed, predicted, result = play(system, [IMAGE, EXTRA], "absent", check_mode=True)
    assert changed
    assert predicted["removes"] == [IMAGE, EXTRA]
    assert predicted["installed_bytes"] == -2 << 20
    assert result.warnings == []
    changed, done, _result = play(system, [IMAGE, EXTRA], "absent")
    assert changed
    assert not {f"{IMAGE} {VERSIONS[1]}", f"{EXTRA} {VERSIONS[1]}"} & set(system.states())
    assert not play(system, [IMAGE, EXTRA], "absent")[0]
    put_back(system, done["undo"])
    assert system.states() == before


@pytest.mark.parametrize("option", ["APT::Get::AutomaticRemove", "APT::Get::Purge"])
def test_what_is_removed_is_what_was_announced(system: Machine, option: str) -> None:
    # A kernel that came for another one's sake, and that nothing needs any more.
    play(system, [f"linux-image-{NEWEST}", IMAGE])
    _apt.mark(system, [f"linux-image-{NEWEST}", f"linux-modules-{NEWEST}"], "auto")
    with (Path(system.root).parent / "apt.conf").open("a") as settings:
        settings.write(f'{option} "true";\n')
    before = system.states()
    _changed, predicted, _result = play(system, [IMAGE], "absent", check_mode=True)
    assert predicted["removes"] == [IMAGE]
    _changed, done, _result = play(system, [IMAGE], "absent")
    assert set(before) - set(system.states()) == {f"{IMAGE} {VERSIONS[1]}"}
    put_back(system, done["undo"])
    assert set(system.states()) == set(before)


def test_the_running_kernel_stays(system: Machine) -> None:
    before = system.states()
    found = problems(system, [f"linux-modules-{OLD}"], state="absent")
    assert any(f"belongs to the running kernel {OLD}" in one for one in found)
    with pytest.raises(FleetopsError, match="belongs to the running kernel"):
        play(system, [f"linux-modules-{OLD}"], "absent")
    assert system.states() == before


def test_nothing_is_installed_to_remove_something(system: Machine) -> None:
    # A meta package that needs the removed one: apt would rather upgrade it, to a newer kernel.
    system.set("/proc/sys/kernel/osrelease", f"{NEW}\n")
    found = problems(system, [f"linux-image-{OLD}", f"linux-modules-extra-{OLD}"], state="absent")
    assert any(one.startswith("to remove it, apt would install linux-") and NEWEST in one for one in found)
    with pytest.raises(FleetopsError, match="apt would install"):
        debian.remove_packages(system, [f"linux-image-{OLD}"])


def test_what_nobody_has_any_more_keeps_a_record_from_being_put_back(system: Machine) -> None:
    step = {
        "do": "install_package",
        "names": [f"{IMAGE}=5.15.0-112.1", f"linux-image-{OLD}={VERSIONS[0]}"],
        "auto": [],
    }
    undo = _undo.record(system, "kernel_packages", None, [step])
    assert _restore.describe(step) == f"install {IMAGE}=5.15.0-112.1, linux-image-{OLD}={VERSIONS[0]} again"
    (said,) = _restore.conflicts(system, [undo])
    assert said.endswith(
        f"{IMAGE}=5.15.0-112.1 is not to be had any more: no source of this node has that version"
    )
    (part,) = undo_module.changes(system, [undo])
    assert part["after"] == f"{IMAGE}=5.15.0-112.1\nlinux-image-{OLD}={VERSIONS[0]}\n"
