# SPDX-License-Identifier: GPL-3.0-or-later
"""`python benchmarks/rollout`: a rollout against the same steps under `serial` with `linear`, on local connections.

Both sides run in this one command, one after the other, with the same durations and as many tasks per host. What is
under way is counted by the nodes' own clocks.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import rolling
from rolling import Fleet

# Spread of the lognormal durations, and the share of nodes that are stuck for STUCK times the median on top: a reboot
# that takes 8 minutes, and now and then one that hangs for half an hour.
TAILS = {"light": (0.35, 0.0), "heavy": (0.8, 0.02)}
STUCK = 30 / 8
# As long ones of a kernel: install, reboot, wait for the gates.
STEPS = ("one", "two", "three")
ASKED = {"fifo": 1.05, "light": 0.65, "heavy": 0.40, "idle": 0.03}
# As many tasks per host as the rollout has, and the same steps.
LINEAR = """\
---
- name: Roll
  hosts: all
  gather_facts: false
  strategy: linear
  serial: @SERIAL@
  tasks:
    - name: Before
      ansible.builtin.raw: "true"
    - name: A condition
      ansible.builtin.debug:
      when: false
    - name: Stage
      ansible.builtin.raw: "true"
    - name: Step one
      ansible.builtin.raw: "sh step.sh {{ inventory_hostname }} one {{ one }}"
      register: step
    - name: It was reached
      ansible.builtin.assert:
        that: step is not unreachable
        quiet: true
@STEPS@    - name: After
      ansible.builtin.raw: "true"
"""
SETTINGS = "[defaults]\ninternal_poll_interval = 0.05\n"


def zones_of(hosts: int, zones: int) -> dict[str, list[str]]:
    """Hosts by zone, as even as can be."""
    names = [chr(ord("a") + number) for number in range(zones)]
    return {
        name: [f"{name}{host:03}" for host in range(hosts // zones + (place < hosts % zones))]
        for place, name in enumerate(names)
    }


def durations(
    hosts: Sequence[str], median: float, tail: tuple[float, float], seed: int
) -> dict[str, list[float]]:
    """Seconds of each step. What a node takes in all is lognormal; how it is split is left to chance."""
    lot = random.Random(seed)
    found = {}
    for host in hosts:
        whole = median * (lot.lognormvariate(0, tail[0]) + (STUCK if lot.random() < tail[1] else 0))
        parts = [lot.expovariate(1) for _step in STEPS]
        found[host] = [round(whole * part / sum(parts), 2) for part in parts]
    return found


def step_tasks(indent: str) -> str:
    """The tasks of all steps after the first."""
    return "".join(
        f"{indent}- name: Step {name}\n"
        f'{indent}  ansible.builtin.raw: "sh step.sh {{{{ inventory_hostname }}}} {name} {{{{ {name} }}}}"\n'
        for name in STEPS[1:]
    )


def fifo(waves: Sequence[Sequence[float]], window: int) -> float:
    """Seconds of a window that is first in, first out; a wave begins when the one before has ended."""
    total = 0.0
    for wave in waves:
        places = [0.0] * window
        for seconds in wave:
            heapq.heappush(places, heapq.heappop(places) + seconds)
        total += max(places)
    return total


def measured_by_nodes(fleet: Fleet) -> tuple[float, int]:
    """Seconds from the first start to the last end, and the most nodes under way."""
    attempts = fleet.attempts()
    return max(one.end for one in attempts) - min(one.start for one in attempts), fleet.most_in_flight()


def rollout(fleet: Fleet, window: int) -> dict[str, Any]:
    """Roll, and compare with the window played through on what the ledger logged."""
    before = os.times()
    code, output = fleet.run(timeout=None)
    if code:
        sys.exit(output[-4000:])
    after = os.times()
    begun = {event["host"]: event["time"] for event in fleet.events("acquire")}
    ended = {event["host"]: event["time"] for event in fleet.events("done")}
    plan = fleet.events("plan")[0]["rollout"]
    waves = [
        [ended[host] - begun[host] for host in sorted(wave["hosts"], key=begun.__getitem__)]
        for wave in plan["waves"]
    ]
    actual = max(ended.values()) - min(begun.values())
    best = fifo(waves, window)
    seconds, most = measured_by_nodes(fleet)
    return {
        "seconds": round(seconds, 1),
        "ledger_seconds": round(actual, 1),
        "fifo_seconds": round(best, 1),
        "against_fifo": round(actual / best, 3),
        "most_in_flight": most,
        "cpu_seconds": round(cpu(after) - cpu(before), 1),
        "place_median": round(statistics.median(ended[host] - begun[host] for host in ended), 1),
    }


def linear(fleet: Fleet) -> dict[str, Any]:
    before = os.times()
    code, output = fleet.run(timeout=None)
    if code:
        sys.exit(output[-4000:])
    seconds, most = measured_by_nodes(fleet)
    return {
        "seconds": round(seconds, 1),
        "most_in_flight": most,
        "cpu_seconds": round(cpu(os.times()) - cpu(before), 1),
    }


def cpu(times: os.times_result) -> float:
    return times.children_user + times.children_system


def idle(
    folder: Path, zones: Mapping[str, Sequence[str]], window: int, forks: int, seconds: float
) -> dict[str, Any]:
    """What the main process costs while every node that is under way takes its time and the others wait."""
    fleet = Fleet(folder, zones, forks=forks, fleetops_in_flight=window)
    (folder / "ansible.cfg").write_text(SETTINGS)
    fleet.hold(*fleet.hosts)
    process = fleet.start()
    try:
        while len(fleet.attempts()) < window:
            if process.poll() is not None:
                sys.exit((folder / "output.txt").read_text()[-4000:])
            time.sleep(0.2)
        time.sleep(5)  # until the last worker has come to its wait
        before, begun = ticks(process.pid), time.monotonic()
        time.sleep(seconds)
        share = (ticks(process.pid) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun)
    finally:
        process.terminate()
        fleet.let_go()
        process.wait()
    return {"hosts": len(fleet.hosts), "forks": forks, "share_of_a_core": round(share, 4)}


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def busy() -> dict[str, Any]:
    """How busy the machine is with others: the share of its cores while nothing of this runs."""

    def look() -> tuple[int, int]:
        numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return sum(numbers), numbers[3] + numbers[4]

    total, rest = look()
    time.sleep(3)
    total_after, rest_after = look()
    share = 1 - (rest_after - rest) / max(1, total_after - total)
    return {
        "load": [round(one, 2) for one in os.getloadavg()],
        "busy": round(share, 2),
        "cores": os.cpu_count(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/rollout", description=__doc__)
    parser.add_argument("--hosts", type=int, default=300)
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=10, help="and the size of a serial batch")
    parser.add_argument(
        "--median", type=float, default=20, help="seconds of a node; long against 1 s of Ansible each"
    )
    parser.add_argument("--tails", nargs="*", choices=[*TAILS], default=[*TAILS])
    parser.add_argument("--idle", type=float, default=60, help="seconds; 0: not measured")
    parser.add_argument("--idle-hosts", type=int, default=300)
    parser.add_argument("--forks", type=int, help="default: two more than in flight")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    chosen = parser.parse_args()
    window, forks = chosen.in_flight, chosen.forks or chosen.in_flight + 2
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    zones = zones_of(chosen.hosts, chosen.zones)
    hosts = [host for those in zones.values() for host in those]
    found: dict[str, Any] = {
        "asked": {name: value for name, value in vars(chosen).items() if name != "json"},
        "limits": ASKED,
        "machine_before": busy(),
    }
    two = re.compile(r" {8}- name: Step two\n.*\n")
    with tempfile.TemporaryDirectory(prefix="rollout-") as temporary:
        folder = Path(temporary)
        for tail in chosen.tails:
            times = durations(hosts, chosen.median, TAILS[tail], chosen.seed)
            of_host = {
                host: " ".join(f"{name}={seconds}" for name, seconds in zip(STEPS, those, strict=True))
                for host, those in times.items()
            }
            sides = {
                "rollout": Fleet(
                    folder / f"{tail}-r",
                    zones,
                    forks=forks,
                    of_host=of_host,
                    playbook=two.sub(lambda _found: step_tasks(" " * 8), rolling.PLAYBOOK).replace(
                        "@CURE@", rolling.CURE
                    ),
                    fleetops_in_flight=window,
                ),
                "linear": Fleet(
                    folder / f"{tail}-l",
                    zones,
                    forks=forks,
                    of_host=of_host,
                    playbook=LINEAR.replace("@SERIAL@", str(window)).replace("@STEPS@", step_tasks(" " * 4)),
                ),
            }
            for fleet in sides.values():
                (fleet.folder / "ansible.cfg").write_text(SETTINGS)
            ours = rollout(sides["rollout"], window)
            print(json.dumps({tail: ours}), flush=True)
            theirs = linear(sides["linear"])
            pure = fifo([[sum(times[host]) for host in those] for those in zones.values()], window)
            found[tail] = {
                "rollout": ours,
                "linear": theirs,
                "steps_alone_fifo_seconds": round(pure, 1),
                "against_linear": round(ours["seconds"] / theirs["seconds"], 3),
            }
            print(json.dumps({tail: found[tail]}, indent=1), flush=True)
        if chosen.idle:
            found["idle"] = idle(
                folder / "idle", zones_of(chosen.idle_hosts, chosen.zones), window, forks, chosen.idle
            )
            print(json.dumps({"idle": found["idle"]}, indent=1), flush=True)
    found["machine_after"] = busy()
    kept = verdict(found, window)
    found["kept"] = kept
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if chosen.json:
        chosen.json.write_text(text)
    return 0 if all(kept.values()) else 1


def verdict(found: Mapping[str, Any], window: int) -> dict[str, bool]:
    """Each limit, and whether it was kept."""
    kept: dict[str, bool] = {}
    for tail in TAILS:
        if tail in found:
            ours = found[tail]["rollout"]
            kept[f"{tail}: against a window of {window}"] = ours["against_fifo"] <= ASKED["fifo"]
            kept[f"{tail}: against serial and linear"] = found[tail]["against_linear"] <= ASKED[tail]
            kept[f"{tail}: never more under way than asked"] = ours["most_in_flight"] <= window
    if "idle" in found:
        kept["idle"] = found["idle"]["share_of_a_core"] <= ASKED["idle"]
    return kept


if __name__ == "__main__":
    sys.exit(main())
