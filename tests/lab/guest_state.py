# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a guest and prints what the machine is, as JSON. Reads only, and loads no module by reading."""

import hashlib
import json
import os
import stat
import subprocess

TREES = ("/boot", "/etc", "/root/.ssh", "/usr/local", "/var/crash", "/var/lib/fleetops", "/var/lib/kdump")


def text(path: str) -> str:
    """A file's text, or what kept it from being read."""
    try:
        with open(path, "rb") as handle:
            return handle.read().decode(errors="replace").strip()
    except OSError as error:
        return f"<{error.strerror}>"


def run(*argv: str) -> str:
    """A command's output; failing to run is an output too."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError as error:
        return f"<{error.strerror}>"
    return done.stdout.decode(errors="replace") if done.returncode == 0 else f"<code {done.returncode}>"


def one_file(path: str) -> dict[str, object]:
    """Type, mode, owner, time and content of one path."""
    info = os.lstat(path)
    facts: dict[str, object] = {
        "mode": stat.filemode(info.st_mode),
        "owner": f"{info.st_uid}:{info.st_gid}",
        "mtime": info.st_mtime_ns,
    }
    if stat.S_ISLNK(info.st_mode):
        facts["target"] = os.readlink(path)
    elif stat.S_ISREG(info.st_mode):
        digest = hashlib.sha256()
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
        facts["bytes"] = info.st_size
        facts["sha256"] = digest.hexdigest()
    return facts


def files() -> dict[str, object]:
    """Everything below TREES."""
    found: dict[str, object] = {}
    for tree in TREES:
        if os.path.lexists(tree):
            found[tree] = one_file(tree)
        for folder, folders, names in os.walk(tree):
            for name in sorted(folders + names):
                path = os.path.join(folder, name)
                try:
                    found[path] = one_file(path)
                except OSError as error:
                    found[path] = f"<{error.strerror}>"
    return found


def sysctls() -> dict[str, str]:
    """Every readable file below /proc/sys."""
    found = {}
    for folder, _folders, names in os.walk("/proc/sys"):
        for name in names:
            path = os.path.join(folder, name)
            # write-only ones; reading vm.stat_refresh does something
            if os.lstat(path).st_mode & 0o444 and name != "stat_refresh":
                found[path[len("/proc/sys/") :]] = text(path)
    return found


def links() -> dict[str, object]:
    """`ip -j -d addr`, by name."""
    try:
        return {link["ifname"]: link for link in json.loads(run("ip", "-j", "-d", "addr"))}
    except ValueError:
        return {"<ip>": "no answer"}


def packages() -> dict[str, str]:
    """Version and dpkg status (what is wanted, what is) of every package dpkg knows."""
    listed = run("dpkg-query", "-W", "-f", "${binary:Package}\t${Version}\t${Status}\n")
    return {name: rest for name, _tab, rest in (line.partition("\t") for line in listed.splitlines())}


def state() -> dict[str, object]:
    """All of it."""
    return {
        "packages": packages(),
        "auto": dict.fromkeys(run("apt-mark", "showauto").split(), True),
        "files": files(),
        "links": links(),
        "routes": {"main": run("ip", "route", "show", "table", "all"), "rules": run("ip", "rule")},
        "sysctl": sysctls(),
        "modules": {line.split()[0]: True for line in text("/proc/modules").splitlines()},
        "kernel": {
            "release": os.uname().release,
            "cmdline": text("/proc/cmdline"),
            "capture_loaded": text("/sys/kernel/kexec_crash_loaded"),
            "capture_bytes": text("/sys/kernel/kexec_crash_size"),
            "hostname": text("/proc/sys/kernel/hostname"),
        },
        "grubenv": {"text": run("grub-editenv", "/boot/grub/grubenv", "list")},
        "units": {"failed": run("systemctl", "--failed", "--no-legend", "--plain")},
    }


if __name__ == "__main__":
    print(json.dumps(state()))
