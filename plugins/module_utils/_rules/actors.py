# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""How those who act on a node by themselves are set up: files of apt and dnf, options of kured. Pure."""

from __future__ import annotations

import configparser
import re
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting

# --- apt.conf(5) -------------------------------------------------------------------------------------

# What ends a line, in apt's own order. It takes a directive for none, wherever it stands.
_COMMENTS = (re.compile(r"//"), re.compile(r"#(?!clear|include|x-apt-configure-index)"))
_COMMENT = re.compile(r"/\*")
_TOKEN = re.compile(r'\s*(?:(?P<mark>[{};])|"(?P<string>[^"]*)"|(?P<word>[^\s"{};]+))')
_APT_TRUE = ("yes", "true", "with", "on", "enable", "1")
_APT_FALSE = ("no", "false", "without", "off", "disable", "0")


def apt_reads(name: str) -> bool:
    """Does apt read a file of this name in apt.conf.d? apt.conf(5): no extension, or ``conf``."""
    return re.match(r"[\w-](?:[\w.-]*\.conf|[\w-]*)\Z", name, re.ASCII) is not None


def apt_conf(files: Iterable[Tuple[str, str]]) -> List[Setting]:
    """The settings of (path, text), in the order in which apt reads the files. Names in lower case: case is nothing.

    Raises FleetopsError for what apt calls an error, for what leads to other files, and for the few constructs that
    mean something else than they seem to: strings side by side, encoded characters in names, ``::`` without a name.
    """
    settings: List[Setting] = []
    for source, text in files:
        scopes: List[Tuple[str, ...]] = []
        for statement in _statements(source, text):
            _obey(settings, scopes, statement)
    return settings


def apt_bool(setting: Optional[Setting], default: bool) -> bool:
    """As apt reads a truth value: what is none means the default."""
    word = setting.value.lower() if setting is not None else ""
    return True if word in _APT_TRUE else False if word in _APT_FALSE else default


class _Statement(NamedTuple):
    """What stands before a mark, one of ``{ ; }``: nothing, a value, or a name and a value."""

    words: List[str]
    mark: str
    source: str
    number: int

    def wrong(self, what: str) -> FleetopsError:
        return FleetopsError(f"'{self.source}' line {self.number}: {what}", path=self.source)


def _statements(source: str, text: str) -> Iterator[_Statement]:
    words: List[str] = []
    comment = False
    for number, raw in enumerate(text.split("\n"), 1):
        line, comment = _without_comments(raw.strip(), comment)
        here = _Statement(words, "", source, number)
        for mark, word in _tokens(line, here):
            if mark:
                yield here._replace(words=words, mark=mark)
                words = []
            else:
                words.append(word)
    if words:
        raise FleetopsError(f"'{source}' ends in the middle of a setting", path=source)


def _tokens(line: str, here: _Statement) -> Iterator[Tuple[str, str]]:
    """(mark, '') or ('', word)."""
    at, beside = 0, False
    while line[at:].strip():
        found = _TOKEN.match(line, at)
        if found is None:
            raise here.wrong("a quotation mark is missing")
        mark, string, word = found.groups()
        if not mark and beside and not line[at].isspace():
            raise here.wrong("two strings stand side by side")
        if word and re.search(r"[%\[\]]", word):
            raise here.wrong("a word with encoded characters")
        yield mark or "", "" if mark else string if word is None else word
        at, beside = found.end(), not mark


def _obey(settings: List[Setting], scopes: List[Tuple[str, ...]], statement: _Statement) -> None:
    """Change *settings* as a statement says; a block enters or leaves *scopes*."""
    words, mark = statement.words, statement.mark
    if len(words) > 2:
        raise statement.wrong("more than a name and a value")
    if mark == "{" and not words:
        raise statement.wrong("a block has no name")
    if words and (words[0] == "#clear" or (len(words) == 2 and words[0].startswith("#"))):
        _clear(settings, scopes, statement)
    elif words:
        name = words[0] if len(words) == 2 or mark == "{" else ""
        path = (scopes[-1] if scopes else ()) + _path(name, statement)
        if len(words) == 2 or mark != "{":
            line = f'{"::".join(path)} "{words[-1]}";'
            settings.append(Setting(_folded(path), words[-1], statement.source, line))
        if mark == "{":
            scopes.append(path)
    if mark == "}" and scopes:
        scopes.pop()


def _clear(settings: List[Setting], scopes: List[Tuple[str, ...]], statement: _Statement) -> None:
    """Take out a name and what is below it, as ``#clear`` does."""
    if statement.words[0] != "#clear" or len(statement.words) != 2 or statement.mark != ";" or scopes:
        raise statement.wrong("a directive that is not understood")
    path = _folded(_path(statement.words[1], statement))
    if not path[-1]:
        raise statement.wrong("an item of a list cannot be cleared")
    settings[:] = [setting for setting in settings if setting.path[: len(path)] != path]


def _path(name: str, statement: _Statement) -> Tuple[str, ...]:
    """``A::B`` as parts; '' as the last one for an item of a list."""
    parts = tuple(name.split("::"))
    if "" in parts[:-1] or any(part != part.strip(":") for part in parts):
        raise statement.wrong("a name with more than '::' between its parts")
    return parts


def _folded(path: Tuple[str, ...]) -> Tuple[str, ...]:
    return tuple(part.lower() for part in path)


def _without_comments(line: str, comment: bool) -> Tuple[str, bool]:
    """(line, whether a comment goes on behind it), in apt's own order: ``//`` ends a line within ``/* */`` as well."""
    if comment:
        _before, closed, line = line.partition("*/")
        if not closed:
            return "", True
    for mark in _COMMENTS:
        at = _outside_quotes(line, mark)
        line = line if at is None else line[:at]
    kept = ""
    while True:
        at = _outside_quotes(line, _COMMENT)
        if at is None:
            return kept + line, False
        kept += line[:at]
        _before, closed, line = line[at + 2 :].partition("*/")
        if not closed:
            return kept, True


def _outside_quotes(line: str, mark: re.Pattern[str]) -> Optional[int]:
    """Where a mark stands first that has an even number of quotation marks before it."""
    for found in mark.finditer(line):
        if line.count('"', 0, found.start()) % 2 == 0:
            return found.start()
    return None


# --- dnf-automatic(8) --------------------------------------------------------------------------------

_END = "\n"
# libdnf, conf/OptionBool.hpp
_DNF_TRUE, _DNF_FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


def ini(source: str, text: str) -> List[Setting]:
    """The settings of an ini file of dnf: paths are (section, name)."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise FleetopsError(
            f"'{source}' {_where(error)}is not in the form of an ini file", path=source
        ) from None
    return [
        # Of a value that goes on in the next lines only the first is shown: others may be settings, wrongly indented.
        Setting((section, name), value.strip(), source, f"{name} = {value.strip().partition(_END)[0]}")
        for section in parser.sections()
        for name, value in parser.items(section)
    ]


def _where(error: configparser.Error) -> str:
    """Which line, without what is in it."""
    number = getattr(error, "lineno", None) or next((one[0] for one in getattr(error, "errors", ())), None)
    return f"line {number} " if number else ""


def dnf_bool(setting: Optional[Setting], default: bool) -> bool:
    """As dnf reads a truth value. Raises FleetopsError for what it refuses."""
    if setting is None:
        return default
    word = setting.value.lower()
    if word not in (*_DNF_TRUE, *_DNF_FALSE):
        raise FleetopsError(f"'{setting.source}': {setting.path[-1]} is not a truth value")
    return word in _DNF_TRUE


# --- kured -------------------------------------------------------------------------------------------


def option(argv: Sequence[str], name: str) -> Optional[str]:
    """The value of ``--name=value`` or ``--name value`` on a command line, of several the last; None without one."""
    found = None
    for at, word in enumerate(argv):
        if word.startswith(f"--{name}="):
            found = word.split("=", 1)[1]
        elif word == f"--{name}" and at + 1 < len(argv):
            found = argv[at + 1]
    return found


class Mount(NamedTuple):
    """A line of /proc/PID/mountinfo (proc(5)): what of which file system is where."""

    device: str
    root: str
    point: str


def mounts(text: str) -> List[Mount]:
    """All mounts, in their order."""
    rows = [line.split(" ") for line in text.split("\n")]
    return [Mount(row[2], _unescaped(row[3]), _unescaped(row[4])) for row in rows if len(row) > 4]


def outside(path: str, inner: Sequence[Mount], outer: Sequence[Mount]) -> Optional[str]:
    """Where a file of a container is for the machine, by the mount that holds it. None where that is not seen.

    What only the container's own root holds stays as it is.
    """
    holding = [mount for mount in inner if mount.point != "/" and _below(path, mount.point) is not None]
    if not holding:
        return path
    # Of two at one point, the later covers the earlier.
    mount = max(enumerate(holding), key=lambda pair: (len(pair[1].point), pair[0]))[1]
    within = f"{mount.root.rstrip('/')}{_below(path, mount.point)}"
    for other in outer:
        rest = _below(within, other.root) if other.device == mount.device else None
        if rest is not None:
            return f"{other.point.rstrip('/')}{rest}"
    return None


def _below(path: str, folder: str) -> Optional[str]:
    """The rest of a path behind a folder, with its slash; None where it is not below it."""
    start = folder.rstrip("/") + "/"
    return path[len(start) - 1 :] if path.startswith(start) else None


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), field)
