# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn an unpacked sosreport into a fixture: `python tests/capture/sosreport.py REPORT OUTDIR`.

Of a report of some MiB only the files stay that the readers ask for, and of those that list everything only what they
take from them. What identifies a machine is replaced.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._tree import SOSREPORT, Tree
from ansible_collections.fleetops.kernel.plugins.modules import node_facts


class Watched(Tree):
    """A Tree that remembers every path that it is asked for, by itself as well."""

    def __init__(self, root: str) -> None:
        self.paths: set[str] = set()
        super().__init__(root)

    def real(self, path: str) -> str:
        self.paths.add(path)
        return super().real(path)


class Watching(Host):
    """A Host of such a Tree, which remembers every unit that it is asked for."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.asked: set[str] = set()
        self._place = self.tree = Watched(self.root)

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.asked.update(argv[1:])
        return super().run(argv, ok, env)


def steps(root: Path, path: str) -> list[Path]:
    """The symbolic links on the way to a path, and what lies at its end; empty when nothing does."""
    found: list[Path] = []
    done, todo = root, [part for part in path.split("/") if part]
    while todo:
        done = done / todo.pop(0)
        if done.is_symlink():
            found.append(done)
            target = done.readlink()
            todo = [part for part in str(target).split("/") if part not in ("", ".")] + todo
            done = root if target.is_absolute() else done.parent
            while todo and todo[0] == "..":
                todo.pop(0)
                done = done.parent
    return [*found, done] if done.exists() else []


def manifest(text: str, keep: set[str]) -> str:
    """The commands whose output stays, or which were not there, and the directories that were copied whole."""
    document = json.loads(text)
    plugins = document["components"]["report"]["plugins"]
    for name, plugin in plugins.items():
        plugins[name] = {
            "timeout_hit": plugin["timeout_hit"],
            "commands": [
                {key: command[key] for key in ("exec", "filepath", "return_code")}
                for command in plugin["commands"]
                if command["filepath"] in keep
            ],
            "files": [
                {"specification": copied["specification"], "files_copied": copied["files_copied"][:1]}
                for copied in plugin["files"]
                if copied["files_copied"]
            ],
        }
    return json.dumps({"components": {"report": {"plugins": plugins}}}, indent=1, sort_keys=True) + "\n"


def units(text: str, keep: set[str]) -> str:
    """The blocks of ``systemctl show`` for some units."""
    blocks = text.split("\n\n")
    return (
        "\n\n".join(block for block in blocks if keep & {*re.findall(r"^Id=(.*)$", block, re.MULTILINE)})
        + "\n"
    )


def main() -> int:
    """0 when what is left reads as the whole did."""
    parser = argparse.ArgumentParser(
        prog="sosreport", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("outdir", type=Path, help="a folder that does not exist yet")
    options = parser.parse_args()
    host = Watching(str(options.report.resolve()))
    if host.kind != SOSREPORT:
        parser.error(f"{options.report} is no unpacked sosreport")
    whole = host.tree.report.manifest.whole if host.tree.report else []
    host.tree.paths -= {*whole}  # it only asked where these lead
    before = node_facts.run(host, {"gather_subset": ["all"]}).returned["ansible_facts"]
    root = Path(host.root)
    files = {place for path in host.tree.paths for place in steps(root, path)}
    keep = {str(place.relative_to(root)) for place in files}
    changes: dict[str, Callable[[str], str]] = {
        "manifest.json": lambda text: manifest(text, keep),
        "sos.log": lambda text: "\n".join(re.findall(r".*adding forbidden path .*", text)) + "\n",
        "systemctl_show_service_--all": lambda text: units(text, host.asked),
        "hostnamectl_status": lambda text: re.sub(r"(Machine ID: )\w+", rf"\g<1>{'0' * 32}", text),
        "modules.dep": lambda text: text[:1024],  # that it is there is all that is asked
    }
    for place in sorted(files):
        name = str(place.relative_to(root))
        target = options.outdir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            target.symlink_to(place.readlink())
        elif place.is_dir():
            target.mkdir(exist_ok=True)
        else:
            text = place.read_bytes().decode("utf-8", errors="replace")
            target.write_text(changes.get(place.name, str)(text))
    after = node_facts.run(Host(str(options.outdir)), {"gather_subset": ["all"]}).returned["ansible_facts"]
    if before != after:
        for part, facts in before.items():
            for key, value in facts.items():
                if after[part].get(key) != value:
                    print(f"sosreport: {part}.{key}: {value!r} in the report, {after[part].get(key)!r} now")
        return 1
    print(f"sosreport: {options.outdir} reads as {options.report} does")
    return 0


if __name__ == "__main__":
    sys.exit(main())
