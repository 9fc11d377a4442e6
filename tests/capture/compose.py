# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose host trees of distributions that the lab cannot boot: `python tests/capture/compose.py`.

Each begins as a captured Debian machine: its /proc and /sys are the kernel's own, the same everywhere. What a
distribution has otherwise is written here in its documented format. A tree made so says it: COMPOSED.md, and
"composed" in its .fleetops.json. It notes nothing as missing: what is not in it was not there.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOSTS = Path(__file__).resolve().parents[1] / "unit/fixtures/hosts"
NOTES = ".fleetops.json"
UUID = "5f1ee700-1ab0-4000-8000-000000000001"  # of the root file system, as in the lab
MACHINE_ID = "0" * 32


@dataclass
class Tree:
    """A host tree while it is changed: files by absolute path, and the notes of its .fleetops.json."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> Tree:
        """A captured one."""
        root = HOSTS / name
        paths = [path for path in root.rglob("*") if path.is_file() and path.name != NOTES]
        files = {f"/{path.relative_to(root)}": path.read_bytes() for path in paths}
        notes = json.loads((root / NOTES).read_text())
        for part in ("missing", "trimmed"):
            notes.pop(part, None)
        return cls(files, {**notes, "composed": True})

    def spell(self, old: str, new: str) -> None:
        """Replace a text everywhere: in paths, in files, in the notes."""
        self.files = {
            path.replace(old, new): data.replace(old.encode(), new.encode())
            for path, data in self.files.items()
        }
        self.notes = json.loads(json.dumps(self.notes).replace(old, new))

    def put(self, path: str, text: str) -> None:
        """A file, which a listing of its folder has as well."""
        self.files[path] = textwrap.dedent(text).lstrip("\n").encode()
        self.listed(path)

    def sized(self, path: str, size: int) -> None:
        """A file that is known by its size."""
        self.notes["sizes"][path] = size
        self.listed(path)

    def exists(self, *paths: str) -> None:
        """Paths that are there."""
        self.notes["exists"] = sorted({*self.notes["exists"], *paths})

    def listed(self, path: str) -> None:
        """The name in the listing of its folder, and that folder in the one above."""
        folder, _slash, name = path.rpartition("/")
        names = self.notes["listings"].get(folder)
        if names is not None and name not in names:
            names.append(name)
            names.sort()

    def drop(self, start: str) -> None:
        """Everything whose path begins so."""
        self.files = {path: data for path, data in self.files.items() if not path.startswith(start)}
        for part in ("exists", "listings", "sizes", "links", "globs", "disks"):
            kept = self.notes.get(part, {})
            if isinstance(kept, list):
                self.notes[part] = [path for path in kept if not path.startswith(start)]
            else:
                self.notes[part] = {path: value for path, value in kept.items() if not path.startswith(start)}
        for folder, names in self.notes["listings"].items():
            self.notes["listings"][folder] = [
                name for name in names if not f"{folder}/{name}".startswith(start)
            ]

    def forget(self, command: str) -> None:
        """What commands that begin so answered."""
        commands = self.notes["commands"]
        self.notes["commands"] = {
            argv: answer for argv, answer in commands.items() if not argv.startswith(command)
        }

    def answer(self, command: str, stdout: str, rc: int = 0) -> None:
        """What a command answers."""
        self.notes["commands"][command] = {"rc": rc, "stdout": stdout, "stderr": ""}

    def save(self, name: str, story: str) -> None:
        """Write it, in the place of an older one."""
        root = HOSTS / name
        shutil.rmtree(root, ignore_errors=True)
        self.put("/COMPOSED.md", f"# {name}: composed, not captured\n\n{textwrap.dedent(story).strip()}\n")
        for path, data in self.files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        notes = {key: value for key, value in self.notes.items() if value not in ({}, [], None)}
        (root / NOTES).write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")


def os_release(**values: str) -> str:
    """os-release(5), without the addresses."""
    return "".join(f'{key}="{value}"\n' for key, value in values.items())


def modules(tree: Tree, names: str, others: Mapping[str, str]) -> None:
    """Loaded modules; *others* are releases and what of these they lack."""
    loaded = names.split()
    tree.put("/proc/modules", "".join(f"{name} 16384 0 - Live 0xffffffffc0000000\n" for name in loaded))
    for release, lacks in others.items():
        folder = f"/lib/modules/{release}"
        has = [name for name in loaded if name not in lacks.split()]
        tree.put(f"{folder}/modules.dep", "".join(f"kernel/{name}.ko:\n" for name in has))
        tree.put(f"{folder}/modules.builtin", "")
        tree.exists(folder)


# A Kubernetes node with Cilium and what kube-proxy and flannel left, as lsmod shows it.
NODE_MODULES = (
    "br_netfilter bridge stp llc overlay vxlan ip6_udp_tunnel udp_tunnel dummy ip_vs ip_vs_rr nf_conntrack nf_nat "
    "nf_defrag_ipv4 nf_defrag_ipv6 nf_tables nfnetlink ip_set ip_set_hash_ip iptable_nat iptable_filter ip_tables "
    "x_tables xt_conntrack xt_MASQUERADE xt_comment xt_mark xt_set sch_fq_codel cls_bpf sch_ingress autofs4 libcrc32c"
)


# --- Ubuntu ------------------------------------------------------------------------------------------


def dpkg_status(packages: str) -> str:
    """dpkg's database: a line ``name version source [source-version] [> dependencies]`` for each package."""
    text = ""
    for line in filter(None, packages.splitlines()):
        words, _arrow, depends = line.partition(">")
        name, version, source, *source_version = words.split()
        text += f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: kernel\n"
        text += "Maintainer: Ubuntu Kernel Team <kernel-team@example.org>\nArchitecture: amd64\n"
        if source_version:
            text += f"Source: {source} ({source_version[0]})\n"
        elif source != name:
            text += f"Source: {source}\n"
        text += f"Version: {version}\n" + (f"Depends: {depends.strip()}\n" if depends else "")
        text += f"Description: {name}\n\n"
    return text


UBUNTU_ENTRY = """\
menuentry '{title}' --class ubuntu --class gnu-linux --class gnu --class os $menuentry_id_option '{id}' {{
\trecordfail
\tload_video
\tgfxmode $linux_gfx_mode
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tinsmod part_gpt
\tinsmod ext2
\tsearch --no-floppy --fs-uuid --set=root {uuid}
\techo\t'Loading Linux {release} ...'
\tlinux\t/boot/vmlinuz-{release} root=UUID={uuid} ro {words}
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/initrd.img-{release}
}}
"""
UBUNTU_HEAD = """\
#
# DO NOT EDIT THIS FILE
#
# It is automatically generated by grub-mkconfig using templates
# from /etc/grub.d and settings from /etc/default/grub
#

### BEGIN /etc/grub.d/00_header ###
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${initrdfail}" = 2 ]; then
   set initrdfail=
elif [ "${initrdfail}" = 1 ]; then
   set next_entry="${prev_entry}"
   set prev_entry=
   save_env prev_entry
   if [ "${next_entry}" ]; then
      set initrdfail=2
   fi
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi

if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi

export menuentry_id_option

if [ "${prev_saved_entry}" ]; then
  set saved_entry="${prev_saved_entry}"
  save_env saved_entry
  set prev_saved_entry=
  save_env prev_saved_entry
  set boot_once=true
fi

function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function initrdfail {
    if [ -n "${have_grubenv}" ]; then if [ -n "${partuuid}" ]; then
      if [ -z "${initrdfail}" ]; then
        set initrdfail=1
        if [ -n "${boot_once}" ]; then
          set prev_entry="${default}"
          save_env prev_entry
        fi
      fi
      save_env initrdfail
    fi; fi
}
function recordfail {
  set recordfail=1
  if [ -n "${have_grubenv}" ]; then if [ -z "${boot_once}" ]; then save_env recordfail; fi; fi
}
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  fi
}
if [ "${recordfail}" = 1 ] ; then
  set timeout=30
else
  set timeout=0
fi
### END /etc/grub.d/00_header ###

### BEGIN /etc/grub.d/10_linux ###
function gfxmode {
\tset gfxpayload="${1}"
\tif [ "${1}" = "keep" ]; then
\t\tset vt_handoff=vt.handoff=7
\telse
\t\tset vt_handoff=
\tfi
}
if [ "${recordfail}" != 1 ]; then
  set linux_gfx_mode=keep
else
  set linux_gfx_mode=text
fi
export linux_gfx_mode
"""


def ubuntu_grub(releases: list[str], words: str) -> str:
    """grub.cfg as Ubuntu's grub-mkconfig writes it; the newest release first."""

    def entry(title: str, identifier: str, release: str, words: str) -> str:
        return UBUNTU_ENTRY.format(title=title, id=identifier, uuid=UUID, release=release, words=words)

    simple = entry("Ubuntu", f"gnulinux-simple-{UUID}", releases[0], f"{words} $vt_handoff")
    menu = ""
    for release in releases:
        title = f"Ubuntu, with Linux {release}"
        menu += entry(title, f"gnulinux-{release}-advanced-{UUID}", release, f"{words} $vt_handoff")
        rescue = f"gnulinux-{release}-recovery-{UUID}"
        menu += entry(f"{title} (recovery mode)", rescue, release, "recovery nomodeset dis_ucode_ldr")
    submenu = f"submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-{UUID}' {{\n"
    footer = "}\n\n### END /etc/grub.d/10_linux ###\n"
    return UBUNTU_HEAD + simple + submenu + textwrap.indent(menu, "\t") + footer


def ubuntu(tree: Tree, release: str, build: str, upstream: str, version: str, gcc: str) -> None:
    """What runs, in Ubuntu's words. *build*: the kernel's own number and date; *version*: of its package."""
    flavour = release.rpartition("-")[2]
    tree.put("/proc/version", f"Linux version {release} (builder@host) ({gcc}) {build}\n")
    tree.put("/proc/version_signature", f"Ubuntu {version}-{flavour} {upstream}\n")
    tree.put("/proc/sys/kernel/version", f"{build}\n")
    tree.put("/proc/sys/kernel/osrelease", f"{release}\n")
    tree.forget("dpkg-query")


def ubuntu_boot(tree: Tree, releases: list[str], words: str) -> None:
    """The kernels on the disk, the first of them the newest."""
    tree.drop("/boot/")
    for number, release in enumerate(releases):
        for name, size in (("vmlinuz", 11800000), ("initrd.img", 108000000), ("System.map", 6500000)):
            tree.sized(f"/boot/{name}-{release}", size + number)
        tree.sized(f"/boot/config-{release}", 262000 + number)
        tree.sized(f"/lib/modules/{release}/modules.dep", 650000 + number)
        tree.exists(f"/lib/modules/{release}")
    tree.notes["listings"]["/boot"].append("grub")
    tree.notes["disks"]["/boot"] = {"total": 63000000000, "free": 41000000000}
    tree.put("/boot/grub/grub.cfg", ubuntu_grub(releases, words))
    tree.put("/boot/grub/grubenv", f"{'# GRUB Environment Block'}\n".ljust(1024, "#"))


def ubuntu_upgrades(tree: Tree) -> None:
    """unattended-upgrades as it comes with Ubuntu: installed, and on."""
    tree.exists("/usr/bin/unattended-upgrade")
    periodic = ("Update-Package-Lists", "Unattended-Upgrade")
    lines = "".join(f'APT::Periodic::{name} "1";\n' for name in periodic)
    tree.put("/etc/apt/apt.conf.d/20auto-upgrades", lines)
    tree.put(
        "/etc/apt/apt.conf.d/50unattended-upgrades",
        """
        Unattended-Upgrade::Allowed-Origins {
        \t"${distro_id}:${distro_codename}";
        \t"${distro_id}:${distro_codename}-security";
        };
        //Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
        //Unattended-Upgrade::Automatic-Reboot "false";
        """,
    )
    timers = "/etc/systemd/system/timers.target.wants"
    tree.notes["listings"][timers] = ["apt-daily-upgrade.timer", "apt-daily.timer"]
    for unit in ("apt-daily", "apt-daily-upgrade"):
        for kind in ("timer", "service"):
            tree.drop(f"/etc/systemd/system/{unit}.{kind}")


def ubuntu_kernel(release: str, version: str, image: str, source: str, extra: bool = True) -> str:
    """The packages of one kernel; *image* and *source* are the source packages."""
    lines = [
        f"linux-image-{release} {version} {image} > kmod, linux-base, linux-modules-{release}",
        f"linux-modules-{release} {version} {source}",
    ]
    if extra:
        lines.append(f"linux-modules-extra-{release} {version} {source} > linux-modules-{release}")
    return "".join(f"{line}\n" for line in lines)


JAMMY = """
linux-generic 5.15.0.91.88 linux-meta > linux-image-generic (= 5.15.0.91.88), linux-headers-generic (= 5.15.0.91.88)
linux-image-generic 5.15.0.91.88 linux-meta > linux-image-5.15.0-91-generic, linux-modules-extra-5.15.0-91-generic
linux-headers-generic 5.15.0.91.88 linux-meta > linux-headers-5.15.0-91-generic
linux-headers-5.15.0-91-generic 5.15.0-91.101 linux > linux-headers-5.15.0-91
linux-headers-5.15.0-91 5.15.0-91.101 linux
linux-base 4.5ubuntu9 linux-base
linux-firmware 20220329.git681281e4-0ubuntu3.24 linux-firmware
kdump-tools 1:1.6.10ubuntu2.2 kdump-tools > kexec-tools, makedumpfile
kexec-tools 1:2.0.22-2ubuntu2.22.04.2 kexec-tools
makedumpfile 1:1.7.0-1build1 makedumpfile
"""


def ubuntu_22_04_incident() -> None:
    """The machines of the incident: 5.15.0-91, a reservation that is too small, what other CNIs left."""
    running, older = "5.15.0-91-generic", "5.15.0-88-generic"
    tree = Tree.of("debian-6.1-incident")
    tree.spell("6.1.0-47-cloud-amd64", running)
    words = "quiet splash crashkernel=512M-:192M"
    build = "#101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023"
    gcc = "gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, GNU ld (GNU Binutils for Ubuntu) 2.38"
    ubuntu(tree, running, build, "5.15.131", "5.15.0-91.101", gcc)
    tree.put(
        "/etc/os-release",
        os_release(
            PRETTY_NAME="Ubuntu 22.04.3 LTS",
            NAME="Ubuntu",
            VERSION_ID="22.04",
            VERSION="22.04.3 LTS (Jammy Jellyfish)",
            VERSION_CODENAME="jammy",
            ID="ubuntu",
            ID_LIKE="debian",
            UBUNTU_CODENAME="jammy",
        ),
    )
    packages = ubuntu_kernel(older, "5.15.0-88.98", "linux-signed", "linux")
    packages += ubuntu_kernel(running, "5.15.0-91.101", "linux-signed", "linux")
    tree.put("/var/lib/dpkg/status", dpkg_status(packages + JAMMY))
    ubuntu_boot(tree, [running, older], words)
    modules(tree, f"{NODE_MODULES} ice bonding nvme nvme_core", {older: ""})
    ubuntu_upgrades(tree)
    kdump(tree, running, words, "nousb")
    tree.save(
        "ubuntu-22.04-incident",
        """
        From the captured `debian-6.1-incident` (links, /proc, /sys), with Ubuntu 22.04's own, in documented formats:

        | what | format |
        |---|---|
        | os-release | os-release(5) |
        | /proc/version_signature | `Ubuntu <package version>-<flavour> <upstream>` |
        | /var/lib/dpkg/status | deb822; names, sources and dependencies as in the package index of jammy |
        | grub.cfg | as its grub-mkconfig 2.06 writes it: recordfail, initrdfail, a submenu, recovery entries |
        | kdump-tools 1.6.10ubuntu2.2 | its default words (`nousb`) and reservation (`512M-:192M`) |
        | unattended-upgrades | on, as it comes with Ubuntu; settings at their defaults |
        | /proc/modules | modules of a Kubernetes node; addresses and sizes mean nothing |
        """,
    )


def kdump(tree: Tree, release: str, words: str, nousb: str) -> None:
    """kdump-tools with its defaults, which lack panic=."""
    line = f"BOOT_IMAGE=/boot/vmlinuz-{release} root=UUID={UUID} ro {words}"
    tree.put("/proc/cmdline", f"{line} vt.handoff=7\n")
    append = f"reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll {nousb}"
    plain = re.sub(r" ?crashkernel=\S+", "", line)
    load = f'/sbin/kexec -p --command-line="{plain} {append}" --initrd=/var/lib/kdump/initrd.img /var/lib/kdump/vmlinuz'
    tree.put("/var/crash/kexec_cmd", load)
    tree.put("/usr/sbin/kdump-config", f'KDUMP_CMDLINE_APPEND=${{KDUMP_CMDLINE_APPEND:="{append}"}}\n')
    tree.put("/etc/default/kdump-tools", 'USE_KDUMP=1\nKDUMP_COREDIR="/var/crash"\n')
    reservation = re.findall(r"crashkernel=\S+", words)[0]
    dropin = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {reservation}"\n'
    tree.drop("/etc/default/grub")
    tree.put(
        "/etc/default/grub",
        'GRUB_DEFAULT=0\nGRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n',
    )
    tree.put("/etc/default/grub.d/kdump-tools.cfg", dropin)
    tree.notes.setdefault("globs", {})["/etc/default/grub.d/*.cfg"] = ["/etc/default/grub.d/kdump-tools.cfg"]
    size = 192 << 20
    tree.put("/sys/kernel/kexec_crash_size", f"{size}\n")
    tree.put(
        "/proc/iomem",
        f"00001000-0009fbff : System RAM\n{0x60000000:08x}-{0x60000000 + size - 1:08x} : Crash kernel\n",
    )
    tree.sized("/var/lib/kdump/initrd.img", 29000000)


HWE = "6.17.0-38.38~24.04.1"
NOBLE = f"""
linux-image-generic-hwe-24.04 {HWE} linux-meta-hwe-6.17 > linux-image-6.17.0-38-generic, linux-firmware
linux-generic-hwe-24.04 {HWE} linux-meta-hwe-6.17 > linux-image-generic-hwe-24.04 (= {HWE})
linux-base 4.5ubuntu9+24.04.1 linux-base
linux-firmware 20240318.git3b128b60-0ubuntu2.25 linux-firmware
kdump-tools 1:1.10.3ubuntu2 kdump-tools > kexec-tools, makedumpfile
kexec-tools 1:2.0.27-1ubuntu1 kexec-tools
makedumpfile 1:1.7.5-1 makedumpfile
"""


def ubuntu_24_04() -> None:
    """The hardware-enablement kernel came with its meta package, without linux-modules-extra, and will boot next."""
    running, newer = "6.8.0-101-generic", "6.17.0-38-generic"
    tree = Tree.of("debian-6.1-clean")
    tree.spell("6.1.0-47-cloud-amd64", running)
    words = "quiet splash crashkernel=2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M"
    build = "#101-Ubuntu SMP PREEMPT_DYNAMIC Mon Feb  2 15:05:54 UTC 2026"
    gcc = (
        "x86_64-linux-gnu-gcc-13 (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0, GNU ld (GNU Binutils for Ubuntu) 2.42"
    )
    ubuntu(tree, running, build, "6.8.12", "6.8.0-101.101", gcc)
    tree.put(
        "/etc/os-release",
        os_release(
            PRETTY_NAME="Ubuntu 24.04.4 LTS",
            NAME="Ubuntu",
            VERSION_ID="24.04",
            VERSION="24.04.4 LTS (Noble Numbat)",
            VERSION_CODENAME="noble",
            ID="ubuntu",
            ID_LIKE="debian",
            UBUNTU_CODENAME="noble",
        ),
    )
    packages = ubuntu_kernel(running, "6.8.0-101.101", "linux-signed", "linux")
    packages += ubuntu_kernel(newer, HWE, "linux-signed-hwe-6.17", "linux-hwe-6.17", extra=False)
    tree.put("/var/lib/dpkg/status", dpkg_status(packages + NOBLE))
    ubuntu_boot(tree, [newer, running], words)
    modules(tree, f"{NODE_MODULES} bnxt_en", {newer: "bnxt_en"})
    ubuntu_upgrades(tree)
    kdump(tree, running, words, "usbcore.nousb")
    # netplan(5): what it makes for networkd, and a site that keeps networkd from Cilium's routes.
    tree.put("/run/systemd/network/10-netplan-eth0.network", "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\n")
    tree.put(
        "/etc/systemd/networkd.conf.d/cilium.conf",
        "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
    )
    tree.save(
        "ubuntu-24.04",
        """
        From the captured `debian-6.1-clean` (/proc, /sys), with Ubuntu 24.04's own, in its documented formats: those of
        `ubuntu-22.04-incident`, and kdump-tools 1.10.3ubuntu2 with its reservation by ranges, netplan over networkd
        (networkd.conf(5)), and a kernel of hardware enablement (`linux-generic-hwe-24.04`, sources `linux-hwe-6.17` and
        `linux-meta-hwe-6.17`) that is installed without `linux-modules-extra` and stands first in GRUB's menu.
        """,
    )


TREES = (ubuntu_22_04_incident, ubuntu_24_04)


def main() -> int:
    """All of them."""
    for make in TREES:
        make()
    return 0


if __name__ == "__main__":
    sys.exit(main())
