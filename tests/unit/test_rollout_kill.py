# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the controller at random moments, each time followed at once by the same command.

How often is FLEETOPS_KILLS (8), the seed FLEETOPS_SEED. What is proved is read from the nodes' own clocks.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rolling import Fleet

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import replay

IN_FLIGHT = 3
ZONES = {"a": ["a1", "a2", "a3", "a4", "a5"], "b": ["b1", "b2", "b3", "b4"], "c": ["c1", "c2", "c3"]}
KILLS = int(os.environ.get("FLEETOPS_KILLS", "8"))
SEED = int(os.environ.get("FLEETOPS_SEED", str(random.SystemRandom().randrange(10**6))))


def kill_while_it_rolls(fleet: Fleet, lot: random.Random) -> bool:
    """Start the command and kill it; whether it was still there to be killed."""
    written = len(fleet.events())
    process = fleet.start()
    # Half of them around a line of the ledger, the others anywhere, the planning included.
    lines, delay = (
        (lot.randint(1, 12), lot.uniform(0, 0.05)) if lot.random() < 0.5 else (0, lot.uniform(0.3, 9))
    )
    while lines and process.poll() is None and len(fleet.events()) < written + lines:
        time.sleep(0.005)
    end = time.monotonic() + delay
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def check(fleet: Fleet) -> None:
    """Every node was done exactly once, nobody was taken in hand twice at the same time, and nothing is left over."""
    attempts = fleet.attempts()  # which fails where two steps were at work on one node
    assert fleet.most_in_flight() <= IN_FLIGHT
    done = [event["host"] for event in fleet.events("done")]
    assert sorted(done) == sorted(fleet.hosts)
    for event in fleet.events("done"):
        of_host = [one for one in attempts if one.host == event["host"]]
        assert [name for name, _start, _end in of_host[-1].steps] == ["one", "two"]
        assert max(one.end for one in of_host) <= event["time"], "touched after it was done"
    state = replay(Ledger(str(fleet.ledger)).read()[0])
    assert state.left() == []
    assert not state.unfinished


def test_killed_at_any_moment_the_same_command_ends_it(tmp_path: Path) -> None:
    lot = random.Random(SEED)
    print(f"seed {SEED}, {KILLS} kills")
    kills = number = halfway = 0
    while kills < KILLS:
        number += 1
        fleet = Fleet(tmp_path / str(number), ZONES, forks=5, fleetops_in_flight=IN_FLIGHT, one=0.5, two=0.5)
        # Not all of them in one fleet: after a few it would be done without having been killed at its end.
        ended = False
        for _unused in range(min(KILLS - kills, lot.randint(2, 6))):
            ended = not kill_while_it_rolls(fleet, lot)
            if ended:
                break
            kills += 1
        # Once more to the end, unless it came there before it could be killed.
        code, output = (0, "") if ended else fleet.run()
        assert code == 0, f"seed {SEED}, fleet {number}: {output}"
        check(fleet)
        halfway += sum(event["halfway"] for event in fleet.events("acquire"))
    print(f"{kills} kills in {number} fleets; {halfway} half-way nodes were finished")
