# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a live machine into a fixture: `python tests/capture TARGET OUTDIR`.

TARGET is an ssh target, a node of a lab (with --lab), or `localhost`. Nothing is installed there: a zip of
module_utils and the recorder go in over ssh, a tar comes back. The tree is then read with the same readers, and must
say what the machine said.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections/fleetops/kernel/plugins/module_utils"
# Reads a zip from its input and runs it.
BOOTSTRAP = (
    "import runpy,sys,tempfile;z=tempfile.NamedTemporaryFile(suffix='.zip');z.write(sys.stdin.buffer.read());"
    "z.flush();sys.path.insert(0,z.name);runpy.run_path(z.name,run_name='__main__')"
)
LIMIT = 300


def payload() -> bytes:
    """module_utils under its own name, and the recorder as the main program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = PACKAGE.split("/")
        for depth in range(1, len(parts) + 1):
            archive.writestr("/".join([*parts[:depth], "__init__.py"]), "")
        source = CHECKOUT / "plugins" / "module_utils"
        for path in sorted(source.rglob("*.py")):
            archive.write(path, f"{PACKAGE}/{path.relative_to(source)}")
        archive.write(Path(__file__).with_name("recorder.py"), "__main__.py")
    return buffer.getvalue()


def command(target: str, lab: str | None, user: str | None) -> list[str]:
    """How to run Python there, reading from its standard input."""
    if lab is not None:
        argv = [sys.executable, str(CHECKOUT / "tests" / "lab"), "ssh", "--lab", lab]
        return [*argv, *(["--user", user] if user else []), target, "--", f'python3 -c "{BOOTSTRAP}"']
    if target == "localhost":
        return ["python3", "-c", BOOTSTRAP]
    return [
        "ssh",
        "-o",
        "BatchMode=yes",
        *(["-l", user] if user else []),
        target,
        f'python3 -c "{BOOTSTRAP}"',
    ]


def capture(argv: list[str], outdir: Path) -> dict[str, Any]:
    """Run the recorder, write its tree, and give back the facts as the machine had them."""
    done = subprocess.run(argv, input=payload(), capture_output=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"capture: {argv[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        )
    outdir.mkdir(parents=True)
    facts: dict[str, Any] = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for entry in archive:
            stream = archive.extractfile(entry)
            data = stream.read() if stream else b""
            if entry.name == ".live.json":
                facts = json.loads(data)
                continue
            path = outdir / entry.name
            if ".." in path.parts:
                raise SystemExit(f"capture: a path that leads out of the tree: {entry.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return facts


def differences(live: Any, tree: Any, path: str = "") -> list[str]:
    """Where two readings differ, by dotted path."""
    if isinstance(live, dict) and isinstance(tree, dict):
        return [
            line
            for key in sorted({*live, *tree})
            for line in differences(live.get(key), tree.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if live == tree else [f"{path}: {live!r} on the machine, {tree!r} in the tree"]


def replay(outdir: Path) -> dict[str, Any]:
    """Read the tree, in a process whose imports are those of the payload."""
    script = "import json,sys,recorder;print(json.dumps(recorder.read(recorder.Host(sys.argv[1]))))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(outdir.resolve())],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"capture: the tree cannot be read: {done.stderr}")
    return dict(json.loads(done.stdout))


def main() -> int:
    """0 when the tree says what the machine said."""
    parser = argparse.ArgumentParser(prog="capture", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", help="ssh target, node of a lab, or localhost")
    parser.add_argument("outdir", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--lab", help="the lab that has the node")
    parser.add_argument("--user", help="log in as this user")
    options = parser.parse_args()
    if options.outdir.exists():
        parser.error(f"{options.outdir} is there already")
    live = capture(command(options.target, options.lab, options.user), options.outdir)
    wrong = differences(live, replay(options.outdir))
    for line in wrong:
        print(f"capture: {line}", file=sys.stderr)
    if not wrong:
        print(f"capture: {options.outdir} reads as the machine does")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
