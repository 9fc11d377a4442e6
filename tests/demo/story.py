# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident of the mission as steps on a real machine. The demo tells them, the molecule scenario proves them.

Each step returns what it saw, and raises StoryError when the machine contradicts what the step claims.
Steps on a clone leave the main timeline alone: a clone is the same node, resumed from the moment before
anything was cured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import Lab, Node
from lab.detector import Verdict, crash
from lab.machine_state import compare, read_state, selftest

CHECKOUT = Path(__file__).resolve().parents[2]
SNAPSHOT, CURED = "incident", "incident-cured"
# What the incident had reserved: seen to hang with this kernel's kdump initrd (lab.md 4).
TOO_SMALL = "80M"
STALE = ("kube-ipvs0", "flannel.1")
# As kube-proxy and flannel leave them: the first DOWN with service addresses, the second UP with the node's pod net;
# and a kubelet's folder with its usual mode, in which Cilium runs and neither of the two. networkd, which the lab's
# machines have, is told to leave Cilium's routes alone.
PLANT = """
set -e
modprobe -a dummy vxlan
ip link add kube-ipvs0 type dummy
ip addr add 10.96.0.1/32 dev kube-ipvs0
ip addr add 10.96.0.10/32 dev kube-ipvs0
ip link add flannel.1 type vxlan id 1 local 10.0.2.15 dev eth0 dstport 8472 nolearning
ip addr add 10.244.1.0/32 dev flannel.1
ip link set flannel.1 up
install -d -m 0750 /var/lib/kubelet /var/lib/kubelet/pods
networkd=/etc/systemd/networkd.conf.d
install -d $networkd
printf '[Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n' > $networkd/cilium.conf
install -d -m 0750 /var/lib/kubelet/pods/7b0e6c5e-0000-4000-8000-000000000001/containers/cilium-agent
"""


class StoryError(Exception):
    """The machine contradicts the story."""


def must(truth: object, claim: str) -> None:
    """Stop the story unless *claim* holds."""
    if not truth:
        raise StoryError(f"not so: {claim}")


@dataclass
class Play:
    """One run of a playbook. ``changed`` and ``failed`` are the recap's, over all hosts."""

    rc: int
    text: str
    changed: int
    failed: int
    report: dict[str, Any]
    seconds: float

    def host(self, name: str = "n1") -> dict[str, Any]:
        """What the JSON report says of one host."""
        host: dict[str, Any] = self.report["hosts"][name]
        return host

    def open(self, name: str = "n1") -> dict[tuple[str, str], dict[str, Any]]:
        """The findings that are not ok, by their key."""
        return {(f["id"], f["subject"]): f for f in self.host(name)["findings"] if f["status"] != "ok"}


@dataclass
class Story:
    """One run of the story. *say* gets lines of progress; the lab ends with the process *tie*."""

    lab: str = "demo"
    say: Callable[[str], None] = print
    tie: int | None = field(default_factory=os.getpid)

    @property
    def directory(self) -> Path:
        return CHECKOUT / ".lab" / f"{self.lab}-story"

    @property
    def _noted(self) -> Path:
        return self.directory / "before.json"

    @property
    def node(self) -> Node:
        """The node of the main timeline."""
        return Lab(self.lab).node("n1")

    @contextlib.contextmanager
    def clone(self, timeline: str) -> Iterator[Node]:
        """The same node, before anything was cured, on a timeline of its own."""
        lab = Lab(f"{self.lab}-{timeline}")
        lab.down()
        try:
            yield lab.clone(SNAPSHOT, tie=self.tie)
        finally:
            lab.down()

    def play(self, playbook: str, node: Node | None, *arguments: str, user: str = "root") -> Play:
        """Run a playbook of the collection as a user would, on a lab node or (None) on this very machine."""
        where = self.directory / f"{playbook}-{time.monotonic_ns()}"
        where.mkdir(parents=True)
        extra: dict[str, Any] = {
            "fleetops_report_dir": str(where),
            "fleetops_advisories_dirs": [str(self.directory / "advisories")],
        }
        if node is None:
            inventory = ["-i", "localhost,", "-c", "local"]
        else:
            inventory = ["-i", str(node.lab.inventory)]
            extra["ansible_user"] = user
        (self.directory / "advisories").mkdir(exist_ok=True)
        start = time.monotonic()
        words = [f"fleetops.kernel.{playbook}", *inventory, "-e", json.dumps(extra), *arguments]
        done = _run("ansible-playbook", *words, cwd=where)
        (where / "output.txt").write_text(done.stdout)
        recap = done.stdout.partition("PLAY RECAP")[2]
        written = where / f"{playbook}.json"
        return Play(
            rc=done.returncode,
            text=done.stdout,
            changed=sum(map(int, re.findall(r"\bchanged=(\d+)", recap))),
            failed=sum(map(int, re.findall(r"\bfailed=(\d+)", recap))),
            report=json.loads(written.read_text()) if written.exists() else {},
            seconds=time.monotonic() - start,
        )

    # --- the machine and its faults ---------------------------------------------------------------

    def boot(self) -> dict[str, Any]:
        """A node with the old kernel and the reservation of the incident."""
        lab = Lab(self.lab)
        lab.up({"n1": "zone_a"}, crashkernel=TOO_SMALL, tie=self.tie, progress=self.say)
        self.node.wait_kdump()
        return lab.manifest()

    def plant(self) -> None:
        """The links, and an advisory of the site's own that names the running kernel."""
        self.node.ssh(PLANT)
        manifest = Lab(self.lab).manifest()
        folder = self.directory / "advisories"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "site-hangs-at-night.yml").write_text(site_advisory(manifest))

    def freeze(self) -> None:
        """The moment that every clone resumes from."""
        self.node.snapshot(SNAPSHOT)

    # --- before -----------------------------------------------------------------------------------

    def before_crash(self) -> Verdict:
        """A real panic on a throw-away clone: the incident, reproduced."""
        with self.clone("before") as node:
            verdict = crash(node, progress=self.say)
        must(
            verdict.verdict == "hung",
            f"the panic hangs; the detector says {verdict.verdict}: {verdict.because}",
        )
        return verdict

    def before_assess(self, node: Node | None = None) -> Play:
        """The collection finds each fault, and says that a panic hangs."""
        seen = self.play("assess", node or self.node)
        must(seen.rc == 0, f"assess ends with 0 by default, not {seen.rc}")
        self._expect_incident(seen)
        return seen

    @staticmethod
    def _expect_incident(seen: Play) -> None:
        wanted = {
            ("kernel-known-bad", "site-hangs-at-night"),
            ("crashkernel-too-small", "crashkernel"),
            ("capture-may-hang", "capture"),
            ("stale-link", "kube-ipvs0"),
            ("stale-link", "flannel.1"),
        }
        must(
            set(seen.open()) == wanted,
            f"assess finds exactly {sorted(wanted)}, it found {sorted(seen.open())}",
        )
        must(
            all(f["status"] == "affected" for f in seen.open().values()),
            "each of them is affected, none unknown",
        )
        must(seen.host()["on_panic"]["outcome"] == "hangs", f"a panic hangs: {seen.host()['on_panic']}")
        severities = {name: seen.open()["stale-link", name]["severity"] for name in STALE}
        must(len(set(severities.values())) == 2, f"the two links are rated differently: {severities}")

    def without_root(self, node: Node | None = None) -> Play:
        """What needs root is unknown with that reason, and nothing is called fine that was not read."""
        seen = self.play("assess", node or self.node, user="operator")
        must(seen.rc == 0, f"assess without root ends with 0, not {seen.rc}")
        unknown = [f for f in seen.open().values() if f["status"] == "unknown"]
        must(unknown, "without root something is unknown")
        must(all("root" in f["reason"] for f in unknown), f"each unknown says that it needs root: {unknown}")
        return seen

    def check_mode(self) -> tuple[Play, list[str]]:
        """`remediate --check --diff` on a fresh clone: it says what it would do, and the machine is as it was."""
        with self.clone("check") as node:
            before = read_state(node)
            again = compare(before, read_state(node))
            must(not again, f"two readings with nothing between them are equal: {again}")
            seen = self.play("remediate", node, "--check", "--diff")
            differences = compare(before, read_state(node))
        must(seen.rc == 0, f"remediate --check ends with 0, not {seen.rc}")
        must(seen.changed > 0, "it announces changes")
        must(not differences, f"and makes none: {differences}")
        return seen, differences

    def comparer(self) -> list[str]:
        """The comparer that says "nothing changed" is equal to itself, and notices each kind of change."""
        with self.clone("compare") as node:
            return selftest(node)

    def panic_word_alone(self) -> tuple[Play, Verdict]:
        """The same small reservation with panic= in the capture kernel's words, and no reboot: it comes back."""
        with self.clone("word") as node:
            boot_id = node.boot_id()
            self._ansible(
                "all", "-i", str(node.lab.inventory), "-m", "fleetops.kernel.kdump_cmdline", "-a", "panic=10"
            )
            must(node.boot_id() == boot_id, "the word holds without a reboot")
            seen = self.play("assess", node)
            must(("capture-may-hang", "capture") not in seen.open(), "the finding is gone")
            must(
                seen.host()["on_panic"]["outcome"] == "reboots", f"a panic reboots: {seen.host()['on_panic']}"
            )
            verdict = crash(node, progress=self.say)
        must(
            verdict.verdict == "came_back",
            f"it comes back; the detector says {verdict.verdict}: {verdict.because}",
        )
        must(not (verdict.dump or {}).get("complete"), "without a dump: the reservation is still too small")
        return seen, verdict

    def undo(self) -> list[str]:
        """Remove the links on a clone, put them back: the links are as they were, to the attribute."""
        with self.clone("undo") as node:
            before = self._links(node)
            cure = self.play("cilium_cleanup", node)
            must(
                cure.rc == 0 and cure.changed == 1,
                f"the clean-up changes the node once: rc {cure.rc}, {cure.changed}",
            )
            must(set(before) - set(self._links(node)) == set(STALE), "the links are gone")
            back = self.play("undo", node, "-e", "fleetops_undo_last=1")
            must(back.rc == 0, f"undo ends with 0, not {back.rc}")
            after = self._links(node)
        odd = {
            name: (before.get(name), after.get(name))
            for name in before | after
            if before.get(name) != after.get(name)
        }
        must(not odd, f"undo brings the links back as they were: {odd}")
        return sorted(set(after) & set(STALE))

    def control(self) -> str:
        """A node that is only rebooted also loses its links: the check that proves our cure must be red for it."""
        with self.clone("control") as node:
            boot_id = node.boot_id()
            node.reboot(progress=self.say)
            must(not set(STALE) & set(self._links(node)), "a reboot alone takes the links away as well")
            proved = self.links_gone_before_reboot(node, boot_id)
        must(not proved, "the check 'gone before the reboot' is red on a node that was only rebooted")
        return "the node that was only rebooted fails the check 'gone before the reboot', as it must"

    # --- the cure ---------------------------------------------------------------------------------

    def note(self) -> None:
        """Write down what the cure is measured against."""
        node, new = self.node, Lab(self.lab).manifest()["new"]["release"]
        files = node.ssh(f"find / -xdev -name '*{new}*' -not -path '/var/lib/apt/lists/*'").stdout.split()
        must(not files, f"no file of the new kernel is on the disk before: {files}")
        self._noted.write_text(json.dumps({"boots": node.boots(), "boot_id": node.boot_id()}))

    def cure(self) -> tuple[Play, int]:
        """`remediate`: every fault, with one reboot. Returns how many that were."""
        self.note()
        seen = self.play("remediate", self.node)
        must(seen.rc == 0, f"remediate ends with 0, not {seen.rc}")
        must(not seen.open(), f"nothing is left: {sorted(seen.open())}")
        return seen, self.cured()

    def cured(self) -> int:
        """The new kernel runs, one boot lies between before and after, and the links were gone before it.

        Returns how many boots those were.
        """
        node, new, before = (
            self.node,
            Lab(self.lab).manifest()["new"]["release"],
            json.loads(self._noted.read_text()),
        )
        boots = node.boots() - before["boots"]
        must(boots == 1, f"exactly one boot lies between before and after, not {boots}")
        must(node.ssh("uname -r").stdout.strip() == new, f"the node runs {new}")
        must(self.links_gone_before_reboot(node, before["boot_id"]), "the links were gone before the reboot")
        return int(boots)

    @staticmethod
    def links_gone_before_reboot(node: Node, boot_id: str) -> bool:
        """Does an undo record, written during the boot *boot_id*, hold every stale link, and is none there now?"""
        text = node.ssh("cat /var/lib/fleetops/undo.d/*-stale_interfaces.json 2>/dev/null || true").stdout
        removed: set[str] = set()
        decoder, text = json.JSONDecoder(), text.strip()
        while text:
            record, end = decoder.raw_decode(text)
            text = text[end:].strip()
            if record["boot_id"] == boot_id:
                removed |= {step["link"]["name"] for step in record["restore"] if step["do"] == "add_link"}
        return removed == set(STALE) and not set(STALE) & set(Story._links(node))

    def second_run(self) -> Play:
        """The same command again changes nothing."""
        node = self.node
        boots = node.boots()
        before = read_state(node)
        seen = self.play("remediate", node)
        must(
            seen.rc == 0 and seen.changed == 0,
            f"a second run changes nothing: rc {seen.rc}, changed {seen.changed}",
        )
        must(node.boots() == boots, "and reboots nothing")
        differences = compare(before, read_state(node))
        must(not differences, f"the machine is as it was: {differences}")
        return seen

    # --- a kernel that does not hold --------------------------------------------------------------

    def fall_back(self) -> tuple[str, str]:
        """The cured machine on a clone, sent to its other kernel, whose initrd is cut: it panics, and comes back.

        Returns the panic on the serial console and what the role says of it.
        """
        manifest = Lab(self.lab).manifest()
        target, runs = manifest["old"]["release"], manifest["new"]["release"]
        self.node.snapshot(CURED)
        lab = Lab(f"{self.lab}-trial")
        lab.down()
        try:
            node = lab.clone(CURED, tie=self.tie)
            node.ssh(f"truncate -s 3000000 /boot/initrd.img-{target}")
            begun = node.console_size()
            playbook = str(CHECKOUT / "molecule/kernel_upgrade/converge.yml")
            done = _run(
                "ansible-playbook",
                *("-i", str(node.lab.inventory), "-e", f"kernel_upgrade_release={target}", playbook),
                cwd=CHECKOUT,
            )
            (self.directory / "fall-back.txt").write_text(done.stdout)
            words = f"fell_back: {target} was tried, and {runs} runs again without anybody's help"
            must(done.returncode == 2, f"the role ends with an error, not {done.returncode}")
            must(words in " ".join(done.stdout.split()), f"it says '{words}'")
            must(node.ssh("uname -r").stdout.strip() == runs, f"{runs} runs again")
            must(f"linux-image-{target}" in node.ssh("apt-mark showhold").stdout, f"{target} is held")
            panics = [line for line in node.console_text(begun).splitlines() if "Kernel panic" in line]
            must(panics, "the console shows a panic")
            seen = self.play("assess", node)
            must(("default-pinned", "boot") in seen.open(), f"assess shows the pin: {sorted(seen.open())}")
        finally:
            lab.down()
        return panics[0].strip(), words

    # --- after ------------------------------------------------------------------------------------

    def after_assess(self) -> Play:
        """A clean node: nothing open, and a panic dumps."""
        seen = self.play("assess", self.node, "-e", "assess_fail_on=low")
        must(seen.rc == 0 and not seen.open(), f"nothing is open: rc {seen.rc}, {sorted(seen.open())}")
        must(seen.host()["on_panic"]["outcome"] == "dumps", f"a panic dumps: {seen.host()['on_panic']}")
        return seen

    def after_crash(self) -> Verdict:
        """The same real panic, watched by the same detector: a complete dump, and the node is back by itself."""
        node = self.node
        verdict = crash(node, progress=self.say)
        must(
            verdict.verdict == "came_back",
            f"it comes back; the detector says {verdict.verdict}: {verdict.because}",
        )
        must((verdict.dump or {}).get("complete") is True, f"with a complete dump: {verdict.dump}")
        must(verdict.boot_id_after not in (None, verdict.boot_id_before), "on another boot")
        return verdict

    def cut_dump(self) -> dict[str, bool | None]:
        """The same dump, cut by a mebibyte, is called incomplete: kdump-tools renames truncated dumps as well."""
        node = self.node
        whole = node.ssh("ls -d /var/crash/2*/dump.* | head -n 1").stdout.strip()
        cut = re.sub(r"/2\d+/", "/200001010000/", whole)
        node.ssh(f"mkdir -p $(dirname {cut}) && head -c -1048576 {whole} > {cut}")
        try:
            seen = self.play("assess", node)
        finally:
            node.ssh(f"rm -r $(dirname {cut})")
        found = {dump["path"]: dump["complete"] for dump in seen.host()["facts"]["fleetops_kdump"]["dumps"]}
        must(found.get(whole) is True, f"the dump is complete: {found}")
        must(found.get(cut) is False, f"the cut one is not: {found}")
        return found

    # --- small tools ------------------------------------------------------------------------------

    @staticmethod
    def _links(node: Node) -> dict[str, Any]:
        """The links as iproute2 shows them, without what two moments never share."""
        found = {}
        for link in json.loads(node.ssh("ip -j -d addr").stdout):
            for key in ("ifindex", "stats64", "stats"):
                link.pop(key, None)
            for address in link.get("addr_info", []):
                address.pop("valid_life_time", None)
                address.pop("preferred_life_time", None)
                address.pop("tentative", None)  # its duplicate detection has not ended yet
            found[link["ifname"]] = link
        return found

    @staticmethod
    def _ansible(*arguments: str) -> None:
        """One module on one node."""
        done = _run("ansible", *arguments, cwd=CHECKOUT)
        must(done.returncode == 0, f"ansible {' '.join(arguments)} ends with 0:\n{done.stdout[-3000:]}")


def _run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program of the checkout's own environment, both outputs in one text."""
    return subprocess.run(
        [str(CHECKOUT / ".venv/bin" / program), *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_PIPELINING": "1",
            # For this very machine: a version manager's stand-ins on PATH must not be taken for a Python. The one
            # behind the environment, because Ansible cuts a path at a space.
            "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def site_advisory(manifest: dict[str, Any]) -> str:
    """An advisory as a site would write it: the kernel that all hung nodes shared."""
    return f"""\
---
id: site-hangs-at-night
title: Nodes with {manifest["old"]["release"]} hang at random at night
severity: critical
symptom: The node stops answering; dmesg is empty and every metric was healthy.
breaks_kdump: false
affects:
  - distro: debian
    codename: bookworm
    source: linux
    versions: ">= {manifest["old"]["version"]}, < {manifest["new"]["version"]}"
conditions: []
good:
  - release: {manifest["new"]["release"]}
confidence: seen by the site's own operators
references: []
vectors: []
"""
