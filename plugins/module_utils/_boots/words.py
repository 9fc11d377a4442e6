# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Plans and changes the words of the kernels in the boot menu.

Where the menu is generated, by a file of ours that grub-mkconfig reads; else in the files of the entries.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import environment
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    blsoptions,
    cmdline,
    grubdefault,
)

Entry = Dict[str, Any]
GRUB_DEFAULTS = "/etc/default/grub"
GRUB_DEFAULTS_MORE = "/etc/default/grub.d/*.cfg"
KERNELOPTS = f"{blsoptions.KERNELOPTS} in GRUB's environment"
# COMMAND_LINE_SIZE of x86 and arm64 (arch/*/include/uapi/asm/setup.h), with its final NUL: what is longer is cut.
LONGEST = 2047


class File(NamedTuple):
    """A file that changes. ``mode``: None keeps the one that it has."""

    path: str
    before: str
    after: str
    mode: Optional[int]


class Change(NamedTuple):
    """What is to change, and the entries before and after. ``kernelopts``: before and after.

    ``files`` may hold one that stays as it is; ``from_running``: see `_platform._entries.Change`.
    """

    files: List[File]
    kernelopts: Optional[Tuple[str, str]]
    generate: bool
    now: List[Entry]
    then: List[Entry]
    from_running: bool = False

    @property
    def written(self) -> List[File]:
        """The files that change."""
        return [file for file in self.files if file.after != file.before]

    @property
    def needed(self) -> bool:
        """Is anything to do?"""
        return bool(self.written or self.kernelopts or self.generate)


def plan(host: Host, platform: Any, wanted: cmdline.Declaration) -> Change:
    """What to change for this declaration, and what comes of it."""
    if platform.CMDLINE_DROPIN:
        return _by_file(host, platform, wanted)
    found = platform.declare_words(host, wanted)
    others = ", ".join(f"${name}" for name in found.others)
    complain(
        found.entries,
        wanted,
        "Nothing was changed",
        "would not say what was declared" + (f" (it names {others}, which others set)" if others else ""),
    )
    files = [File(path, before, after, None) for path, before, after in found.files]
    return Change(files, found.kernelopts, False, entries(host, platform), found.entries, found.from_running)


def entries(host: Host, platform: Any) -> List[Entry]:
    """The entries that are looked after: those that the distribution makes for a kernel, and not for recovery."""
    if platform.CMDLINE_DROPIN:
        # gnulinux-simple-<device>, gnulinux-<release>-advanced-<device>, gnulinux-<release>-recovery-<device>
        made, ours = "that update-grub made for a kernel", re.compile(r"gnulinux-(?!.*-recovery-)")
        menu = platform.boot_entries(host)
        found = [entry for entry in menu if ours.match(entry["id"].rpartition(">")[2])]
    else:
        made, found = "for a kernel", platform.entries_with_words(host)
    if not found:
        raise FleetopsError(f"Nothing was changed: the boot loader's configuration has no entry {made}")
    return found


# --- by a file of ours -------------------------------------------------------------------------------


def _by_file(host: Host, platform: Any, wanted: cmdline.Declaration) -> Change:
    now, path = entries(host, platform), platform.CMDLINE_DROPIN
    text = _undo.text_of(host, path) or ""
    variables = _evaluate(host, path, text)
    new_text, then = text, _predict(now, variables, variables)
    if unmet(then, wanted):
        # The rest is the site's own doing, and we leave it where it stands.
        open_ = cmdline.outstanding(_tokens(then), wanted)
        new_text = grubdefault.render(grubdefault.declare(_declared(path, text), open_))
        then = _predict(now, variables, _evaluate(host, path, new_text))
    changes = new_text != text or bool(unmet(now, wanted))
    return Change([File(path, text, new_text, 0o644)], None, changes, now, then if changes else now)


def _declared(path: str, text: str) -> grubdefault.Dropin:
    """What the drop-in declares so far."""
    try:
        return grubdefault.parse(text)
    except FleetopsError as error:
        raise FleetopsError(
            f"Nothing was changed: '{path}' is not as this collection writes it. {error.msg}", path=path
        ) from error


def _evaluate(host: Host, path: str, text: str) -> List[str]:
    """The tokens that both variables would hold if the drop-in had this text."""
    more = sorted({*host.glob(GRUB_DEFAULTS_MORE), path})
    script = grubdefault.evaluator([GRUB_DEFAULTS, *more], path)
    return grubdefault.evaluated(host.run(["/bin/sh", "-c", script, "sh", text]))


def _predict(now: List[Entry], old: List[str], new: List[str]) -> List[Entry]:
    """The entries once the variables hold *new*."""
    return [{**entry, "cmdline": grubdefault.predict(entry["cmdline"], old, new)} for entry in now]


# --- writing -----------------------------------------------------------------------------------------


def refuse_changed(host: Host, platform: Any, change: Change) -> None:
    """Raise when what was read is not there any more."""
    for file in change.files:
        if (_undo.text_of(host, file.path) or "") != file.before:
            raise FleetopsError(
                f"Nothing was changed: '{file.path}' was changed by somebody else in this moment",
                path=file.path,
            )


def restore(host: Host, platform: Any, change: Change) -> List[Dict[str, Any]]:
    """The steps that take a change back; what is never overwritten when somebody else changed it comes first."""
    steps: List[Dict[str, Any]] = []
    if change.kernelopts:
        steps.append(environment.put_back(host, platform, blsoptions.KERNELOPTS, *change.kernelopts))
    steps += [_undo.restore_file(host, file.path, file.after) for file in change.written]
    return [*steps, *([{"do": "update_boot_config"}] if steps and change.generate else [])]


def take(host: Host, platform: Any, change: Change) -> None:
    """Change it."""
    for file in change.written:
        host.write_atomic(file.path, file.after, mode=file.mode)
    if change.kernelopts:
        assignment = f"{blsoptions.KERNELOPTS}={change.kernelopts[1]}"
        host.run(platform.edit_environment(host, "set", assignment))
    if change.generate:
        platform.update_boot_config(host)


def verify(host: Host, platform: Any, change: Change, wanted: cmdline.Declaration) -> List[Entry]:
    """The entries, read again. Raises FleetopsError when they are not as they were to be."""
    after = entries(host, platform)
    complain(after, wanted, "Generated, but not as declared", "does not say what was declared")
    if not change.generate and after != change.then:
        raise FleetopsError(
            "Written, but the boot entries are not as they were to be",
            wanted=described(change.then).splitlines(),
            found=described(after).splitlines(),
        )
    return after


def written_by(host: Host, change: Change) -> Optional[str]:
    """The open record of a run that wrote these very texts and was killed before it could generate."""
    wrote = [(file.path, _undo.digest(file.after)) for file in change.files]
    for undo in _undo.newest_first(_undo.records(host)):
        for step in undo["restore"]:
            if (step.get("path"), step.get("expect")) in wrote:
                return undo["id"]
    return None


# --- what entries say --------------------------------------------------------------------------------


def unmet(found: List[Entry], wanted: cmdline.Declaration) -> List[Tuple[str, str]]:
    """(title, clause) for each entry that does not say what was declared. Words for init do not count."""
    return [
        (entry["title"], clause)
        for entry, tokens in zip(found, _tokens(found))
        for clause in cmdline.unmet(tokens, wanted)
    ]


def _tokens(found: List[Entry]) -> List[List[str]]:
    return [cmdline.parse(" ".join(entry["cmdline"]))["tokens"] for entry in found]


def complain(found: List[Entry], wanted: cmdline.Declaration, prefix: str, what: str) -> None:
    """Raise when an entry does not say what was declared, or is too long for the kernel."""
    wrong = unmet(found, wanted)
    if wrong:
        title, clause = wrong[0]
        raise FleetopsError(
            f"{prefix}: the boot entry '{title}' {what}: {clause}",
            entries=[f"{title}: {clause}" for title, clause in wrong],
        )
    for entry in found:
        length = len(" ".join(entry["cmdline"]).encode("utf-8"))
        if length > LONGEST:
            raise FleetopsError(
                f"{prefix}: the command line of '{entry['title']}' has {length} bytes, and the kernel cuts it "
                f"at {LONGEST}"
            )


def shown(entry: Mapping[str, Any]) -> Dict[str, Any]:
    """An entry as it is returned."""
    return {
        "id": entry["id"],
        "title": entry["title"],
        "release": entry["release"],
        "cmdline": " ".join(entry["cmdline"]),
    }


def described(found: List[Entry]) -> str:
    """The entries as a diff shows them."""
    return "".join(f"{entry['title']}: {' '.join(entry['cmdline'])}\n" for entry in found)
