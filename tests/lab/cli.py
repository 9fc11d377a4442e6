# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from . import detector, machine_state, recipe, supervisor
from .client import DEFAULT_MEMORY, Lab, all_labs
from .errors import LabError
from .host import phase, say, tail
from .image import build


def _nodes(text: str) -> dict[str, str]:
    pairs = [item.partition(":") for item in text.split(",") if item]
    return {name: zone or "zone_a" for name, _colon, zone in pairs}


def _build(options: argparse.Namespace) -> int:
    image = build(options.flavour, options.crashkernel, options.suite)
    print(json.dumps({"path": str(image.path), **image.manifest}, indent=2))
    return 0


def _up(options: argparse.Namespace) -> int:
    lab = Lab(options.lab)
    lab.up(
        options.nodes,
        flavour=options.flavour,
        crashkernel=options.crashkernel,
        suite=options.suite,
        memory=options.memory,
        smp=options.smp,
        tie=options.tie,
        progress=say,
    )
    say(f"lab: inventory {lab.inventory}")
    return 0


def _down(options: argparse.Namespace) -> int:
    for name in all_labs() if options.all else [options.lab]:
        with phase(f"lab {name} ends"):
            was_up = Lab(name).down()
        if not was_up and not options.all:
            say(f"lab: {name} was not up")
    return 0


def _status(options: argparse.Namespace) -> int:
    lab = Lab(options.lab)
    if not lab.running():
        print(json.dumps({"lab": lab.name, "up": False}) if options.json else f"lab {lab.name} is not up")
        return 0
    status = lab.status()
    if options.json:
        print(json.dumps({"lab": lab.name, "up": True, "inventory": str(lab.inventory), **status}, indent=2))
        return 0
    print(f"lab {lab.name}, supervisor {status['pid']}, inventory {lab.inventory}")
    for node in status["nodes"]:
        print(
            f"  {node['name']:<10} {node['state']:<8} {node['zone']:<10} port {node['port']}  boots {node['boots']}  "
            f"{node['flavour']} {node['memory']} MiB smp {node['smp']} {node['accel']}  timeline {node['timeline']}"
        )
    return 0


def _ssh(options: argparse.Namespace) -> int:
    argv = Lab(options.lab).node(options.node).ssh_argv(user=options.user)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    os.execvp(argv[0], [*argv, *command])
    return 1


def _console(options: argparse.Namespace) -> int:
    print(tail(Lab(options.lab).node(options.node).console_text(), options.lines))
    return 0


def _power(options: argparse.Namespace) -> int:
    Lab(options.lab).node(options.node).power(options.action)
    return 0


def _net(options: argparse.Namespace) -> int:
    Lab(options.lab).node(options.node).net(options.state == "up")
    return 0


def _drop(options: argparse.Namespace) -> int:
    Lab(options.lab).drop(options.node)
    return 0


def _snapshot(options: argparse.Namespace) -> int:
    with phase(f"snapshot {options.name} of {options.node} (which goes on)"):
        Lab(options.lab).snapshot(options.node, options.name)
    return 0


def _clone(options: argparse.Namespace) -> int:
    with phase(f"clone of {options.name}: ssh answers, clock and random numbers its own"):
        Lab(options.lab).clone(options.name, name=options.as_name, tie=options.tie)
    return 0


def _nets(options: argparse.Namespace) -> int:
    print(json.dumps(detector.read_nets(Lab(options.lab).node(options.node)).as_dict(), indent=2))
    return 0


def _crash(options: argparse.Namespace) -> int:
    verdict = detector.crash(Lab(options.lab).node(options.node), limit=options.limit, progress=say)
    print(json.dumps(verdict.as_dict(), indent=2))
    return 0


def _watch(options: argparse.Namespace) -> int:
    with options.nets as handle:
        nets = detector.Nets(**json.load(handle))
    verdict = detector.watch(Lab(options.lab).node(options.node), nets, limit=options.limit, progress=say)
    print(json.dumps(verdict.as_dict(), indent=2))
    return 0


def _state(options: argparse.Namespace) -> int:
    print(json.dumps(machine_state.read_state(Lab(options.lab).node(options.node))))
    return 0


def _compare(options: argparse.Namespace) -> int:
    with options.before as before, options.after as after:
        lines = machine_state.compare(json.load(before), json.load(after))
    print("\n".join(lines) or "no difference")
    return 2 if lines else 0


def _selftest(options: argparse.Namespace) -> int:
    print("\n".join(machine_state.selftest(Lab(options.lab).node(options.node))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Real Debian machines under QEMU.")
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, lab: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if lab:
            sub.add_argument("--lab", default="default", help="name of the lab")
        return sub

    def image(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--flavour", choices=["cloud", "generic"], default="cloud")
        sub.add_argument("--crashkernel", default="128M", help="value in /etc/default/grub; '' for none")
        sub.add_argument(
            "--suite", choices=recipe.SUITES, default=recipe.DEFAULT_SUITE, help="release of Debian"
        )

    image(command("build", _build, "build the image, print its manifest", lab=False))
    sub = command("up", _up, "boot nodes and wait for ssh")
    image(sub)
    sub.add_argument("--nodes", type=_nodes, default=None, help="n1:zone_a,n2:zone_b")
    sub.add_argument("--memory", type=int, default=None, help=f"MiB ({DEFAULT_MEMORY})")
    sub.add_argument("--smp", type=int, default=None)
    sub.add_argument("--tie", type=int, help="pid whose end takes the lab down")
    sub = command("down", _down, "end the lab; nothing of it stays running")
    sub.add_argument("--all", action="store_true", help="all labs of this checkout")
    sub = command("status", _status, "what runs")
    sub.add_argument("--json", action="store_true")
    sub = command("ssh", _ssh, "a shell or a command on a node")
    sub.add_argument("--user", default="root")
    sub.add_argument("node")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("console", _console, "the end of a node's serial console")
    sub.add_argument("-n", dest="lines", type=int, default=40)
    sub.add_argument("node")
    sub = command("power", _power, "on, cut, cycle, reset")
    sub.add_argument("node")
    sub.add_argument("action", choices=["on", "cut", "cycle", "reset"])
    sub = command("net", _net, "plug the network cable in or out")
    sub.add_argument("node")
    sub.add_argument("state", choices=["up", "down"])
    sub = command("drop", _drop, "take one node out of the lab")
    sub.add_argument("node")
    sub = command("snapshot", _snapshot, "keep a node's memory and disk under a name; the node goes on")
    sub.add_argument("node")
    sub.add_argument("name")
    sub = command("clone", _clone, "resume a snapshot: the same node on another timeline")
    sub.add_argument("name")
    sub.add_argument("--as", dest="as_name", help="its name in the inventory")
    sub.add_argument("--tie", type=int, help="pid whose end takes the lab down")
    sub = command("nets", _nets, "what is armed on a node now (for watch)")
    sub.add_argument("node")
    sub = command("crash", _crash, "panic a node and print the detector's verdict")
    sub.add_argument("--limit", type=float, help="seconds")
    sub.add_argument("node")
    sub = command("watch", _watch, "the detector alone: what becomes of a node since its nets were read")
    sub.add_argument("--limit", type=float, help="seconds")
    sub.add_argument(
        "--nets", type=argparse.FileType(), required=True, help="what `nets` printed; - for stdin"
    )
    sub.add_argument("node")
    sub = command("state", _state, "read the whole machine, as JSON")
    sub.add_argument("node")
    sub = command(
        "compare", _compare, "differences of two readings; exit code 2 when there are any", lab=False
    )
    sub.add_argument("before", type=argparse.FileType())
    sub.add_argument("after", type=argparse.FileType())
    sub = command("selftest", _selftest, "show on a live node that the comparer notices what it must")
    sub.add_argument("node")
    return parser


def main(argv: list[str]) -> int:
    """Run one command; 1 with one clear line when something is in the way."""
    if argv[:1] == ["supervise"]:
        return supervisor.main(argv[1:])
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except LabError as error:
        if error.detail:
            print("\n".join(f"  | {line}" for line in error.detail.splitlines()), file=sys.stderr)
        print(f"lab: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
