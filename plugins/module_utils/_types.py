# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The data shapes that travel through the collection: facts, findings, plan, gates, undo records.

Sizes are bytes, durations seconds, unless a name says otherwise. ``None`` in a fact means *could not
be read*; the reason stands in the ``unknown`` mapping of the same reader, by dotted path.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict

# --- shared ------------------------------------------------------------------------------------------


class Evidence(TypedDict):
    """The very words read, and where: a path, a command, a reader's name."""

    source: str
    text: str


# --- facts: kernel -----------------------------------------------------------------------------------


class Cmdline(TypedDict):
    """A kernel command line. Order and repeats are kept; what follows `` -- `` belongs to init."""

    raw: str
    tokens: List[str]
    init_args: List[str]


class Distro(TypedDict):
    """Who made this system, from os-release. ``family`` is one that `_platform` knows, or null."""

    id: str
    version_id: str
    codename: str
    family: Optional[str]


class _Told(TypedDict, total=False):
    release: str  # there when the package of a kernel image is not named after it (rpm: kernel-core)
    needs: List[str]  # there when it may be a meta package: the names that it depends on


class Package(_Told):
    """An installed package. ``status`` is the package manager's own word (dpkg: ``ii``, ``iF``; rpm: ``ii``)."""

    name: str
    version: str
    source: str
    source_version: str
    status: str


class InstalledKernel(TypedDict):
    """A kernel on the disk; ``missing`` lists what keeps it from booting.

    ``lacks`` are modules that are loaded now and that this kernel has neither as a file nor built in; those that were
    built outside the tree are not among them (`dkms` and ``prebuilt`` speak of these). ``prebuilt`` are the modules of
    vendors that a package brings for this very release (``nvidia-535``, ``zfs``). ``beside`` are packages with more
    of its own (``linux-modules-extra``, ``linux-headers``), named without the release. ``bytes``: its files in /boot;
    ``initrd_bytes``: of these, its initrd.
    """

    release: str
    package: Optional[Package]
    bootable: Optional[bool]
    missing: List[str]
    lacks: Optional[List[str]]
    prebuilt: List[str]
    beside: Optional[List[str]]
    bytes: Optional[int]
    initrd_bytes: Optional[int]


class NextBoot(TypedDict):
    """The kernel that the boot loader takes next, and by which rule.

    ``once``: for one boot only. ``named_by``: ``first`` (what stands first, the newest), ``position`` (a number that
    another kernel can come to stand at), ``id`` or ``title`` (this very entry).
    """

    release: str
    entry: str
    because: str
    once: bool
    named_by: str  # first | position | id | title


class Modules(TypedDict):
    """Loaded modules, sorted. ``out_of_tree``: those of them that were built outside the kernel's tree."""

    loaded: List[str]
    out_of_tree: List[str]


class DkmsModule(TypedDict):
    """A module that DKMS builds: its state for each kernel that it has one for (``added``: built for none)."""

    name: str
    version: str
    states: Dict[str, str]  # release -> built | installed | installed-weak


class MetaPackage(TypedDict):
    """A package that pulls in the newest kernel. ``tracks``: the release that it depends on now."""

    name: str
    version: str
    tracks: Optional[str]


class Pin(TypedDict):
    """A stanza of apt_preferences(5) that names packages of kernels."""

    packages: str
    pin: str
    priority: int
    source: str


class KernelPackages(TypedDict):
    """What the package manager says of kernels, beside the installed ones."""

    held: List[str]
    pins: Optional[List[Pin]]
    broken: List[Package]  # neither installed in full nor gone
    metas: List[MetaPackage]


class Livepatch(TypedDict):
    """A patch of the running kernel. ``level``: how far it is patched, as its maker counts, where its name says it."""

    name: str
    enabled: Optional[bool]
    transition: Optional[bool]
    level: Optional[str]


class Space(TypedDict):
    """A file system. ``free_bytes`` is what root may use."""

    path: str
    total_bytes: int
    free_bytes: int


class RebootRequired(TypedDict):
    """Whether a marker on the disk asks for a reboot, and which packages asked. Plain Debian writes none."""

    required: bool
    packages: List[str]
    source: str


class _WatchdogTold(TypedDict, total=False):
    """There when its driver says so."""

    status: Optional[str]  # WDIOF_*, hexadecimal: what there was since somebody last looked
    bootstatus: Optional[int]  # WDIOF_*: why the last boot ended; 0x20, this watchdog reset it
    timeleft: Optional[int]
    nowayout: Optional[bool]  # once armed, nothing stops it
    pretimeout: Optional[int]
    pretimeout_governor: Optional[str]
    min_timeout: Optional[int]
    max_timeout: Optional[int]


class Watchdog(_WatchdogTold):
    """One of /sys/class/watchdog, or ``ipmi_watchdog`` where that driver has no device there.

    A software watchdog dies with its kernel and saves no capture kernel.

    ``identity`` is empty when it could not be read; ``hardware`` is false then, since nothing proves it.
    """

    name: str
    identity: str
    hardware: bool
    active: Optional[bool]
    timeout: Optional[int]


class SystemdWatchdog(TypedDict):
    """Whether systemd is set up to arm a watchdog: seconds; 0, it does not; null, with the device's own time-out.

    ``runtime``: while the machine runs; ``reboot``: while it goes down; ``kexec``: while it goes down for a kexec.
    """

    runtime: Optional[float]
    reboot: Optional[float]
    kexec: Optional[float]
    device: str  # empty: systemd takes the first
    lines: List[Evidence]


class BootEnvironment(TypedDict):
    """GRUB's environment block, and whether GRUB itself can write it: without that no entry is for one boot only."""

    path: str
    writable: bool
    because: str


class BootPin(TypedDict):
    """Our own file that names the entry that boots from now on, whatever is installed later."""

    path: str
    entry: str
    release: str


class Trial(TypedDict):
    """A kernel on trial: a boot of it that nobody confirms in time ends in a reboot."""

    release: str
    guard_seconds: int


class KernelFacts(TypedDict):
    """``ansible_facts.fleetops_kernel``: what runs, what is installed, what boots next."""

    release: Optional[str]
    version: Optional[str]
    architecture: Optional[str]
    flavour: Optional[str]
    distro: Optional[Distro]
    container: Optional[bool]
    package: Optional[Package]
    installed: Optional[List[InstalledKernel]]
    next_boot: Optional[NextBoot]
    cmdline: Optional[Cmdline]
    config_file: Optional[str]  # what the running kernel was built with
    taint: Optional[Dict[str, Any]]  # {"value": int, "names": [str]}
    boot_id: Optional[str]
    uptime: Optional[float]
    fault_counts: Optional[
        Dict[str, Optional[int]]
    ]  # since the boot: oops, warn, hardlockup, softlockup, rcu_stall
    panic_sysctls: Dict[str, Optional[int]]
    panic_sys_info: Optional[List[str]]
    crash_kexec_post_notifiers: Optional[bool]  # notifiers run before the capture kernel starts
    watchdogs: Optional[List[Watchdog]]
    systemd_watchdog: Optional[SystemdWatchdog]
    memory_bytes: Optional[int]
    upstream: Optional[str]  # the upstream version that it was made from, where the kernel says it: 5.15.149
    virtual: Optional[bool]  # a virtual machine
    microcode: Optional[str]  # its revision, hexadecimal
    cpu_vendor: Optional[str]  # GenuineIntel, AuthenticAMD, ARM, ...
    file_systems: Optional[List[str]]  # types that are mounted and have a device or a server behind them
    drivers: Optional[List[str]]  # those that a device of the machine is bound to
    iommu: Optional[bool]  # an IOMMU is in use
    modules: Optional[Modules]
    livepatches: Optional[List[Livepatch]]
    secure_boot: Optional[bool]
    lockdown: Optional[str]  # none | integrity | confidentiality
    packages: Optional[KernelPackages]
    dkms: Optional[List[DkmsModule]]
    boot_loader: Optional[str]  # grub | grub-bls | systemd-boot
    boot_environment: Optional[BootEnvironment]
    load_kexec: Optional[bool]  # a reboot is a kexec, past the boot loader
    kexec_tool: Optional[bool]  # the command `kexec` is there
    pinned: Optional[BootPin]  # null and not in `unknown`: there is no such file
    trial: Optional[Trial]  # the same
    boot_space: Optional[Space]
    reboot_required: Optional[RebootRequired]
    unknown: Dict[str, str]


# --- facts: kdump ------------------------------------------------------------------------------------


class Reservation(TypedDict):
    """Memory set aside for the capture kernel. ``low``/``high``: below and above 4 GiB (needs root)."""

    requested: List[str]
    bytes: Optional[int]
    low_bytes: Optional[int]
    high_bytes: Optional[int]


class Capture(TypedDict):
    """The capture kernel as it is loaded now. ``panic`` is its ``panic=`` value, null when it has none."""

    loaded: Optional[bool]
    cmdline: Optional[Cmdline]
    panic: Optional[int]
    initrd: Optional[str]
    initrd_bytes: Optional[int]
    source: Optional[str]
    elfcorehdr_bytes: Optional[int]  # 0: this kernel does not renew it when processors or memory come and go


class Vmcoreinfo(TypedDict):
    """Where the running kernel keeps what a reader of its memory needs, in physical memory."""

    address: str  # hexadecimal
    bytes: int


class Service(TypedDict):
    name: str
    enabled: Optional[bool]
    active: Optional[bool]


class DumpTarget(TypedDict):
    """Where a dump goes. ``free_bytes`` is null for a remote target."""

    path: str
    kind: str  # local | nfs | ssh | ftp
    free_bytes: Optional[int]
    total_bytes: Optional[int]


class Dump(TypedDict):
    """A dump on the disk. ``complete`` is judged by its end marker, never by its name."""

    path: str
    bytes: int
    time: float
    complete: Optional[bool]


class KdumpFacts(TypedDict):
    """``ansible_facts.fleetops_kdump``: is this node ready to take its own dump?"""

    implementation: Optional[str]  # kdump-tools | kdumpctl | null: none installed
    kexec_loaded: Optional[bool]  # a kernel is loaded that the next kexec starts
    vmcoreinfo: Optional[Vmcoreinfo]
    reservation: Reservation
    capture: Capture
    service: Optional[Service]
    target: Optional[DumpTarget]
    dumps: Optional[List[Dump]]
    unknown: Dict[str, str]


# --- facts: links ------------------------------------------------------------------------------------


class Address(TypedDict):
    family: str  # inet | inet6
    address: str
    prefixlen: int
    scope: str


class Shortened(TypedDict, total=False):
    addresses_total: int  # there when `addresses` holds only the first of them: facts are to stay small


class Link(Shortened):
    """A network link whose maker we know, with what is needed to judge it and to make it again."""

    name: str
    index: int
    kind: str
    up: bool  # administratively up (IFF_UP); the carrier does not matter to Cilium
    mac: Optional[str]
    mtu: int
    master: Optional[str]
    addresses: List[Address]
    attributes: Dict[str, Any]  # of its kind, as `ip -d -j` names them (vxlan: id, local, port, ...)
    maker: str  # kube-proxy | flannel | ...
    users: List[str]  # evidence that it is in use: one line each
    users_unknown: List[str]  # what could not be asked: one line each, with the reason


class LinksFacts(TypedDict):
    """``ansible_facts.fleetops_links``: only links whose maker we know, however many there are."""

    links: Optional[List[Link]]
    total: Optional[int]
    unknown: Dict[str, str]


# --- facts: actors -----------------------------------------------------------------------------------


class UnattendedUpgrades(TypedDict):
    """unattended-upgrades or dnf-automatic: does it run, reboot by itself, remove kernels? ``lines``: its settings."""

    name: str
    enabled: Optional[bool]
    reboots: Optional[bool]
    removes_kernels: Optional[bool]
    lines: List[Evidence]


class Kured(TypedDict):
    """kured: reboots a node when its sentinel file is there."""

    running: Optional[bool]
    sentinel: str
    sentinel_present: Optional[bool]
    lines: List[Evidence]


class Networkd(TypedDict):
    """systemd-networkd: may it remove routes and rules that others made (``Manage…`` of networkd.conf)?"""

    active: Optional[bool]
    manages_foreign_routes: Optional[bool]
    manages_foreign_rules: Optional[bool]
    lines: List[Evidence]


class ActorsFacts(TypedDict):
    """``ansible_facts.fleetops_actors``: who else may reboot this node, replace its kernels, or undo its network."""

    upgrades: Optional[List[UnattendedUpgrades]]
    kured: Optional[Kured]
    networkd: Optional[Networkd]
    cilium: Optional[bool]
    unknown: Dict[str, str]


# --- facts: units ------------------------------------------------------------------------------------


class UnitsFacts(TypedDict):
    """``ansible_facts.fleetops_units``: services of systemd, without ``.service``; none that come and go."""

    running: Optional[List[str]]
    finished: Optional[List[str]]  # active, with their work done (oneshot)
    starting: Optional[List[str]]
    failed: Optional[List[str]]
    by_hand: Optional[List[str]]  # of those that run: no boot starts them
    unknown: Dict[str, str]


# --- findings, plan, gates, report -------------------------------------------------------------------


class Remedy(TypedDict):
    role: str
    vars: Dict[str, Any]


class Finding(TypedDict):
    """One judged question about one node. ``(id, subject)`` is its key."""

    id: str
    subject: str
    status: str  # affected | ok | unknown
    severity: str  # critical | high | medium | low
    reason: str
    evidence: List[Evidence]
    remedy: Optional[Remedy]


class OnPanic(TypedDict):
    """If this node panics now, it ..."""

    outcome: str  # dumps | reboots | hangs | unknown
    because: str
    evidence: List[Evidence]


class Step(TypedDict):
    """What one node needs, in the plan."""

    host: str
    zone: str
    wave: int
    roles: Dict[str, Dict[str, Any]]
    because: List[str]  # "id:subject"
    reboot: bool


class Gate(TypedDict):
    """``passed: null`` means *cannot tell*, and counts as closed."""

    name: str
    passed: Optional[bool]
    reason: str
    evidence: List[Evidence]


class Problem(TypedDict):
    """What stands in the way of a change, and what cures it: a sentence or a command.

    ``kind``: one of those in `_rules.apt`, for programs to decide by. ``packages``: those that it is about.
    """

    kind: str
    problem: str
    remedy: str
    packages: List[str]


class ChangedPackage(TypedDict):
    """A package that a change names or brings along, as it will be; bytes of a package that stays are 0."""

    name: str
    version: Optional[str]  # None: there is none
    action: str  # install | upgrade | remove | none
    download_bytes: int
    installed_bytes: int  # more than now


class PackageChange(TypedDict):
    """What the package manager would do, and all that stands in its way."""

    packages: List[ChangedPackage]
    removes: List[str]
    problems: List[Problem]
    before: Dict[str, str]  # the versions of what is changed, as they are now
    after: Dict[str, str]  # and as they will be
    keeps: Dict[str, str]  # of what is replaced or removed, the versions that can be had again
    files: List[str]  # what would be downloaded
    held: List[str]  # what is held now, of the packages that change
    broken: List[str]  # what the package manager has not finished


class AvailableKernel(TypedDict):
    """A kernel image that can be installed."""

    name: str
    version: str
    release: str


class Undo(TypedDict):
    """What was there before a change, and how to put it back: steps for `_undo`, run in their order."""

    id: str
    module: str
    time: str  # ISO 8601, UTC
    boot_id: str
    before: Any
    restore: List[Dict[str, Any]]
