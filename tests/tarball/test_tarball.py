# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user gets: the built tarball, installed into an empty path, run from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# What stands at the top of the tarball, and what else may.
NEEDED = {
    "CHANGELOG.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}
ALLOWED = NEEDED | {"docs"}
# What must not stand anywhere in it.
FOR_BUILDERS = {
    "__pycache__",
    "molecule",
    "tests",
    "lab",
    "benchmarks",
    "uv.lock",
    "pyproject.toml",
    "conftest.py",
}


def ansible(tool: str, *arguments: str, cwd: Path, collections: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands as a user would who has nothing but `collections`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",  # not the link in the environment's site-packages
        "ANSIBLE_HOME": str(cwd / ".ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "PWD": str(cwd),
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
    }
    done = subprocess.run(
        [str(BIN / tool), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (
        f"{tool} {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball, built from the checkout."""
    out = tmp_path_factory.mktemp("dist")
    ansible("ansible-galaxy", "collection", "build", "--output-path", str(out), cwd=CHECKOUT, collections=out)
    (built,) = out.glob("fleetops-kernel-*.tar.gz")
    return built


def test_holds_what_a_user_needs_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = [PurePosixPath(name) for name in archive.getnames()]
    top = {name.parts[0] for name in names}
    assert top >= NEEDED, f"missing: {NEEDED - top}"
    assert top <= ALLOWED, f"not for users: {top - ALLOWED}"
    for name in names:
        assert not FOR_BUILDERS & set(name.parts), name
        assert not any(part.startswith(".") for part in name.parts), name
        assert name.suffix not in (".lock", ".pyc", ".retry", ".orig"), name


def test_runs_from_an_empty_path(tarball: Path, tmp_path: Path) -> None:
    collections = tmp_path / "collections"
    work = tmp_path / "work"
    work.mkdir()
    ansible(
        *(
            "ansible-galaxy",
            "collection",
            "install",
            str(tarball),
            "-p",
            str(collections),
            "--no-deps",
            "--offline",
        ),
        cwd=work,
        collections=collections,
    )
    assert [path.name for path in (collections / "ansible_collections" / "fleetops").iterdir()] == ["kernel"]

    run = ansible(
        *("ansible-playbook", "fleetops.kernel.assess", "-i", "localhost,", "-c", "local"),
        *("-e", f"ansible_python_interpreter={os.path.realpath(sys.executable)}"),
        cwd=work,
        collections=collections,
    )
    report = work / "fleetops-report" / "assess.json"
    assert report.is_file(), run.stdout
    assessed = json.loads(report.read_text())
    assert assessed["schema"] == 1
    assert list(assessed["hosts"]) == ["localhost"]
    assert assessed["hosts"]["localhost"]["on_panic"]["outcome"] in ("dumps", "reboots", "hangs", "unknown")
