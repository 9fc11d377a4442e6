# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one file of ours that grub-mkconfig sources last, and what comes of it. Pure.

The file takes tokens out of both variables of ``/etc/default/grub``, wherever the site has put them, and adds
ours. A comment holds what was declared, so that a second declaration joins the first.
"""

from __future__ import annotations

import json
import re
from typing import List, Sequence, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline

_MARK = "# fleetops-declares: "
# Between the output of whatever the site's files print, and the variables.
_OUTPUT_MARK = "--- fleetops ---"
_SED_SPECIAL = re.compile(r"([.\[*^$+?(){}|/\\])")
# An even number of quotes: where this ends, nothing is quoted.
_OUTSIDE_QUOTES = r'([^"]|"[^"]*")*'


class Dropin(TypedDict):
    """Taken out of the site's own words (bare keys or tokens), and put at their end."""

    remove: List[str]
    add: List[str]


def parse(text: str) -> Dropin:
    """What a drop-in of ours declares; nothing for an empty text. Raises FleetopsError for a file that is not ours."""
    if not text.strip():
        return {"remove": [], "add": []}
    for line in text.splitlines():
        if line.startswith(_MARK):
            try:
                found = json.loads(line[len(_MARK) :])
                return {
                    "remove": [cmdline.check_token(item) for item in found["remove"]],
                    "add": [cmdline.check_token(token) for token in found["add"]],
                }
            except (ValueError, KeyError, TypeError) as error:
                raise FleetopsError(f"The line '{line}' does not hold a declaration: {error}") from error
    raise FleetopsError(f"There is no line that begins with '{_MARK.strip()}'")


def declare(old: Dropin, wanted: cmdline.Declaration) -> Dropin:
    """Join a declaration to the old one; where they differ, the new one holds. Twice is the same as once."""
    remove, add = list(old["remove"]), list(old["add"])
    for item in wanted["absent"]:
        add = [token for token in add if not cmdline.is_removed(token, [item])]
        if not cmdline.has(remove, item):
            remove.append(item)
    for group in cmdline.by_key(wanted["replace"]).values():
        name = cmdline.key(group[0])
        remove = [item for item in remove if not cmdline.same_key(cmdline.key(item), name)] + [name]
        if not cmdline.alike(cmdline.of_key(add, name), group):
            add = cmdline.merge(add, [name], group)
    for token in wanted["present"]:
        remove = [item for item in remove if not cmdline.same(item, token)]
        if not cmdline.has(add, token):
            add.append(token)
    return {
        "remove": sorted(cmdline.canonical(item) for item in remove),
        "add": [cmdline.canonical(token) for token in add],
    }


def render(dropin: Dropin) -> str:
    """The text of the file: a fragment for /bin/sh that grub-mkconfig sources."""
    # What is added is taken out first: said once is enough, and it stays last.
    take = [_pattern(item, removing=True) for item in dropin["remove"]]
    take += [
        _pattern(item, removing=False)
        for item in dropin["add"]
        if not cmdline.is_removed(item, dropin["remove"])
    ]
    expressions = [f"-e ':{n}' -e 's/{pattern}/\\1/' -e 't{n}'" for n, pattern in enumerate(take)]
    expressions.append("-e 's/^[[:space:]]+//' -e 's/[[:space:]]+$//'")
    lines = [
        "# Written by the Ansible module fleetops.kernel.kernel_cmdline, which replaces what is changed here by hand.",
        _MARK + json.dumps(dropin, sort_keys=True),
        "_fleetops_without() {",
        "  printf '%s\\n' \"$1\" | LC_ALL=C sed -E \\",
        " \\\n".join(f"    {expression}" for expression in expressions),
        "}",
        'GRUB_CMDLINE_LINUX="$(_fleetops_without "${GRUB_CMDLINE_LINUX:-}")"',
        'GRUB_CMDLINE_LINUX_DEFAULT="$(_fleetops_without "${GRUB_CMDLINE_LINUX_DEFAULT:-}")"',
    ]
    if dropin["add"]:
        ours = " ".join(dropin["add"])
        lines.append(
            "GRUB_CMDLINE_LINUX_DEFAULT="
            f"\"${{GRUB_CMDLINE_LINUX_DEFAULT:+$GRUB_CMDLINE_LINUX_DEFAULT }}\"'{ours}'"
        )
    lines.append("unset -f _fleetops_without")
    return "\n".join(lines) + "\n"


def _pattern(item: str, removing: bool) -> str:
    """A pattern for sed -E that matches one token outside quotes, and keeps what stands before it in ``\\1``."""
    name, separator, rest = cmdline.bare(item).partition("=")
    key, tail = re.sub("[-_]", "[-_]", _escape(name)), _escape(rest)
    if removing and not separator:
        run = r'([^"[:space:]]|"[^"]*")*'
        forms = [f"{key}(={run})?", f'"{key}(=[^"]*)?"{run}']
    elif not separator:
        forms = [key, f'"{key}"']
    else:
        forms = [f'"{key}={tail}"', f'{key}="{tail}"'] + ([] if re.search(r"\s", rest) else [f"{key}={tail}"])
    return f"^({_OUTSIDE_QUOTES}[[:space:]])?({'|'.join(forms)})([[:space:]]+|$)"


def _escape(text: str) -> str:
    return _SED_SPECIAL.sub(r"\\\1", text)


# --- what comes of it --------------------------------------------------------------------------------


CMDLINE = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
DEFAULT = ("GRUB_DEFAULT",)


def evaluator(files: Sequence[str], dropin: str, variables: Sequence[str] = CMDLINE) -> str:
    """A /bin/sh script that sources *files* as grub-mkconfig does, with its ``$1`` in the place of *dropin*.

    Ours replaces what is on the disk, so that the outcome is known before anything is written.
    """
    lines = ["set -e"]
    for path in files:
        quoted = "'" + path.replace("'", "'\\''") + "'"
        source = 'eval "$1"' if path == dropin else f"if [ -e {quoted} ]; then . {quoted}; fi"
        lines.append(f"{source} >/dev/null")
    lines.append(f"printf '\\n%s\\n' '{_OUTPUT_MARK}'")
    lines.append("printf '%s\\n' " + " ".join(f'"${{{name}:-}}"' for name in variables))
    return "\n".join(lines)


def evaluated(output: str) -> List[str]:
    """The tokens that both variables hold together, from what the evaluator printed."""
    return cmdline.tokenise(value_of(output).replace("\n", " "))


def value_of(output: str) -> str:
    """What the evaluator printed of its variables, each on a line."""
    return output.rpartition(_OUTPUT_MARK)[2].strip("\n")


def predict(entry: Sequence[str], old: Sequence[str], new: Sequence[str]) -> List[str]:
    """An entry's tokens once its variables hold *new* instead of *old*.

    10_linux writes ``root=... ro``, the two variables, and what belongs to the entry alone. When *old* is not
    found in it, the configuration was changed and not generated since: then the variables begin after ``ro``.
    """
    for start in range(len(entry) - len(old), -1, -1):
        if old and list(entry[start : start + len(old)]) == list(old):
            return [*entry[:start], *new, *entry[start + len(old) :]]
    start, end = _variables(entry)
    return [*entry[:start], *new, *entry[end:]]


def _variables(entry: Sequence[str]) -> Tuple[int, int]:
    """Where the variables stand in an entry, told by what 10_linux writes around them."""
    start = next((number + 1 for number, token in enumerate(entry[:3]) if token in ("ro", "rw")), 0)
    end = len(entry)
    while end > start and cmdline.key(entry[end - 1]) == "init":  # an entry for another init
        end -= 1
    return start, end
