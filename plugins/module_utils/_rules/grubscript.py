# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""GRUB's script language, as far as a grub.cfg needs it to be understood: its commands, and what variables hold. Pure.

A value is a text, or None when only GRUB itself can know it while it starts (``$root``, what a command answers).
A branch that depends on such a value may run or not: what it would set is None afterwards.
"""

from __future__ import annotations

import functools
import re
from typing import Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

MOST_CHARACTERS = 8 << 20  # a menu of a thousand kernels has less
MOST_NESTED = 40  # real ones nest five deep
MOST_BRANCHES = 100
MOST_STEPS = 1_000_000  # commands that are run, functions included
MOST_VALUE = 1 << 16  # characters of variables in a word


class Command(NamedTuple):
    """A command and its words, quotes and variables as written; ``body``: what it has in braces."""

    words: List[str]
    line: int
    body: Optional[List[Statement]]


class If(NamedTuple):
    """Branches as (condition, body); an ``else`` has no condition."""

    branches: List[Tuple[List[Statement], List[Statement]]]


class Loop(NamedTuple):
    """``for``, ``while`` and ``until``: how often it runs is not followed."""

    body: List[Statement]


Statement = Union[Command, If, Loop]
Variables = Dict[str, Optional[str]]
Files = Mapping[str, Optional[str]]  # name of a file beside grub.cfg -> its text, or None: there is none

# grub-core/script/yylex.l: what a word is made of. A variable, a quoted part or a plain one; never two ways to match.
_PIECE = r"""'[^']*'|"(?:[^"\\]|\\[\s\S])*"|\\[\s\S]|\$\{[^}\n]*\}|\$|[^\s;{}'"\\$]"""
_TOKEN = re.compile(
    rf"(?P<skip>(?:[^\S\n]|\\\n)+|\#[^\n]*)|(?P<end>[;\n])|(?P<brace>[{{}}])|(?P<word>(?:{_PIECE})+)"
)
_PIECES = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\[\s\S])*)"|\\(?P<escaped>[\s\S])|(?P<plain>[^'"\\]+)"""
)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[^}]*)\}|(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?*@#]))")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[\s\S]*)\Z")
# Those that GRUB fills in itself; other variables are empty until something sets them.
_OF_GRUB = re.compile(
    r"(root|prefix|cmdpath|config_directory|config_file|grub_platform|grub_cpu|net_\w*|[0-9]+|[?*@#])\Z"
)


@functools.lru_cache(maxsize=4)
def parse(text: str) -> List[Statement]:
    """The commands of a script. Raises FleetopsError where its blocks or quotes do not match."""
    if len(text) > MOST_CHARACTERS:
        raise FleetopsError(f"it has more than {MOST_CHARACTERS} characters")
    return _Parser(text).whole()


class _Parser:
    """Goes through the tokens once; `self.kind` and `self.value` are those of the next one."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.kind, self.value, self.line = "", "", 1
        self.depth = 0
        self.advance()

    def advance(self) -> None:
        self.kind, self.value, self.line = next(self.tokens)

    def whole(self) -> List[Statement]:
        found = self.statements(())
        if self.kind == "brace":
            raise FleetopsError(f"line {self.line} closes a block that was not opened")
        if self.kind != "eof":
            raise FleetopsError(f"line {self.line} has a '{self.value}' that nothing asked for")
        return found

    def statements(self, stops: Sequence[str]) -> List[Statement]:
        """Up to one of the words in *stops*, a closing brace, or the end."""
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise FleetopsError(f"line {self.line} stands in more than {MOST_NESTED} blocks")
        found: List[Statement] = []
        while self.kind != "eof" and (self.kind, self.value) != ("brace", "}"):
            if self.kind == "end":
                self.advance()
            elif self.kind == "word" and self.value in stops:
                break
            elif self.kind == "word" and self.value in ("then", "elif", "else", "fi", "do", "done"):
                raise FleetopsError(f"line {self.line} has a '{self.value}' that nothing asked for")
            else:
                found.append(self.statement())
        self.depth -= 1
        return found

    def statement(self) -> Statement:
        if self.value == "if" and self.kind == "word":
            return self.conditional()
        if self.value in ("for", "while", "until") and self.kind == "word":
            line = self.line
            self.advance()
            self.statements(("do",))
            self.expect("do", line)
            body = self.statements(("done",))
            self.expect("done", line)
            return Loop(body)
        return self.command()

    def conditional(self) -> If:
        line, branches = self.line, []
        while self.value != "fi":
            word = self.value
            self.advance()
            condition: List[Statement] = []
            if word != "else":
                condition = self.statements(("then",))
                self.expect("then", line)
            branches.append(
                (condition, self.statements(("fi",) if word == "else" else ("elif", "else", "fi")))
            )
            if self.kind != "word":
                break
            if len(branches) > MOST_BRANCHES:
                raise FleetopsError(f"what begins in line {line} has more than {MOST_BRANCHES} branches")
        self.expect("fi", line)
        return If(branches)

    def command(self) -> Command:
        line, words = self.line, []
        while self.kind == "word":
            words.append(self.value)
            self.advance()
        if (self.kind, self.value) != ("brace", "{"):
            return Command(words, line, None)
        self.advance()
        body = self.statements(())
        if self.kind != "brace":
            raise FleetopsError(f"a block is not closed at the end of the file: it begins in line {line}")
        self.advance()
        return Command(words, line, body)

    def expect(self, word: str, line: int) -> None:
        if (self.kind, self.value) != ("word", word):
            raise FleetopsError(f"what begins in line {line} has no '{word}'")
        self.advance()


def _tokens(text: str) -> Iterator[Tuple[str, str, int]]:
    """(kind, text, line) of each token, and without end ``eof`` behind the last."""
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise FleetopsError(f"line {line} cannot be taken apart (a quote is not closed)")
        if found.lastgroup != "skip":
            yield str(found.lastgroup), found.group(), line
        line += text.count("\n", position, found.end())
        position = found.end()
    while True:
        yield "eof", "", line


def words(command: Command) -> List[str]:
    """The words without their quotes; variables stay as written, but for that of 00_header which means ``--id``."""
    return [
        re.sub(r"\A\$(?:menuentry_id_option|\{menuentry_id_option\})\Z", "--id", unquoted(word))
        for word in command.words
    ]


def unquoted(word: str) -> str:
    """A word without its quotes, variables as written."""
    return "".join(_text(piece) for piece in _PIECES.finditer(word))


def file_name(word: str) -> str:
    """The name of the file that a path means, whatever folder it begins with (``$prefix/custom.cfg``)."""
    return unquoted(word).rpartition("/")[2]


def walk(statements: Sequence[Statement]) -> Iterator[Command]:
    """All commands that may run, in their order: those of every branch, and not what stands in a command's braces."""
    for statement in statements:
        if isinstance(statement, Command):
            yield statement
        elif isinstance(statement, Loop):
            yield from walk(statement.body)
        else:
            for _condition, body in statement.branches:
                yield from walk(body)


def expand(word: str, variables: Mapping[str, Optional[str]]) -> Optional[str]:
    """What GRUB makes of a word; None when a variable in it is not known."""
    parts: List[str] = []
    size = 0
    for piece in _PIECES.finditer(word):
        if piece.group("single") is not None or piece.group("escaped") is not None:
            parts.append(_text(piece))
            continue
        text, done = _text(piece), 0
        for found in _VARIABLE.finditer(text):
            value = _value(found.group("braced") or found.group("name") or "", variables)
            if value is None:
                return None
            size += len(value)
            if size > MOST_VALUE:  # a value can hold others twice, again and again
                raise FleetopsError(f"a value has more than {MOST_VALUE} characters")
            parts += [text[done : found.start()], value]
            done = found.end()
        parts.append(text[done:])
    return "".join(parts)


def _text(piece: re.Match[str]) -> str:
    if piece.group("double") is not None:
        return re.sub(r'\\(["\\$])', r"\1", piece.group("double"))
    return piece.group("single") or piece.group("escaped") or piece.group("plain") or ""


def _value(name: str, variables: Mapping[str, Optional[str]]) -> Optional[str]:
    if name in variables:
        return variables[name]
    if name.startswith("feature_"):
        return "y"  # grub-core/normal/main.c, features: all of them since 2.00
    return None if _OF_GRUB.match(name) else ""


class Outcome(NamedTuple):
    """What the variables hold in the end, and for each the word that was assigned last (or None: several, or unset).

    ``saved``: those that are written to the environment block on every way through the script.
    """

    values: Variables
    written: Variables
    saved: FrozenSet[str]


def run(statements: Sequence[Statement], env: Mapping[str, str], files: Files) -> Outcome:
    """What the variables hold once the menu stands. *env* is what ``load_env`` finds."""
    runner = _Runner(env, files)
    runner.run(statements)
    return Outcome(runner.values, runner.written, runner.saved)


class _Runner:
    def __init__(self, env: Mapping[str, str], files: Files) -> None:
        self.env, self.files = env, files
        self.values: Variables = {}
        self.written: Variables = {}
        self.saved: FrozenSet[str] = frozenset()
        self.functions: Dict[str, List[Statement]] = {}
        self.depth = self.steps = 0

    def run(self, statements: Sequence[Statement]) -> None:
        self.depth += 1
        if self.depth > 2 * MOST_NESTED:
            raise FleetopsError("its functions call each other without end")
        self.spend(len(statements))
        for statement in statements:
            if isinstance(statement, Command):
                self.command(statement)
            elif isinstance(statement, Loop):
                self.maybe(statement.body)
            else:
                self.branches(statement.branches)
        self.depth -= 1

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise FleetopsError(f"it takes more than {MOST_STEPS} steps to follow")

    def branches(self, branches: Sequence[Tuple[List[Statement], List[Statement]]]) -> None:
        for number, (condition, body) in enumerate(branches):
            holds = self.holds(condition) if condition else True
            if holds:
                self.run(body)
                return
            if holds is None:
                self.either(body, branches[number + 1 :])
                return

    def either(
        self, body: Sequence[Statement], others: Sequence[Tuple[List[Statement], List[Statement]]]
    ) -> None:
        """One of two ways is gone, and it cannot be told which: where they differ, nothing is known."""
        self.spend(len(self.values))  # each of them is copied, and compared below
        before = dict(self.values), dict(self.written), self.saved
        self.run(body)
        one = self.values, self.written, self.saved
        self.values, self.written, self.saved = before
        self.branches(others)
        self.saved &= one[2]
        for name in {*one[0], *self.values}:
            if _value(name, one[0]) != _value(name, self.values):
                self.values[name] = None
            if one[1].get(name) != self.written.get(name):
                self.written[name] = None

    def maybe(self, body: Sequence[Statement]) -> None:
        self.either(body, ())

    def command(self, command: Command) -> None:
        if not command.words:
            return
        name, *rest = command.words
        if name == "function" and rest and command.body is not None:
            self.functions[rest[0]] = command.body
        elif name == "set" and rest:
            self.assign(rest[0])
        elif _ASSIGNMENT.match(name) and not rest:
            self.assign(name)
        elif name == "unset":
            for variable in rest:
                self.put(variable, "", None)
        elif name == "load_env":
            self.load_env(rest)
        elif name == "save_env":
            self.saved |= {*rest}
        elif name in ("source", ".") and rest:
            self.source(rest[0])
        elif name in self.functions and command.body is None:
            self.run(self.functions[name])
        elif name not in ("menuentry", "submenu"):
            self.answer(name, rest)

    def assign(self, word: str) -> None:
        found = _ASSIGNMENT.match(word)
        if found:
            self.put(found.group("name"), expand(found.group("value"), self.values), found.group("value"))

    def put(self, name: str, value: Optional[str], written: Optional[str]) -> None:
        self.values[name] = value
        self.written[name] = written

    def load_env(self, rest: Sequence[str]) -> None:
        """``load_env [-f FILE] [--skip-sig] [NAME...]``"""
        names, skip = [], False
        for word in rest:
            if not skip and not word.startswith("-"):
                names.append(word)
            skip = word in ("-f", "--file")
        for name, value in self.env.items():
            if not names or name in names:
                self.put(name, value, None)

    def source(self, word: str) -> None:
        text = self.files.get(file_name(word))
        if text is not None:
            self.run(parse(text))
        elif file_name(word) not in self.files:
            raise FleetopsError(f"it takes in another file that is not known here, {unquoted(word)}")

    def answer(self, name: str, rest: Sequence[str]) -> None:
        """A command that writes its answer into a variable."""
        told = [word for word in rest if not word.startswith("-")] if name in _CHANGES_ITS_WORDS else []
        for word, following in zip(rest, [*rest[1:], ""]):
            if word in ("--set", "-s"):
                told.append(following)
            elif word.startswith("--set="):
                told.append(word[len("--set=") :])
        for variable in told:
            self.put(variable.rpartition(":")[2], None, None)

    # --- conditions --------------------------------------------------------------------------------

    def holds(self, condition: Sequence[Statement]) -> Optional[bool]:
        """What the last command of a condition answers; None when only GRUB can tell."""
        self.run(condition[:-1])
        last = condition[-1]
        if not isinstance(last, Command):
            return None
        turns, words_left = _turned(last.words)
        answer = self.answers(last._replace(words=words_left)) if words_left else None
        return None if answer is None else answer != turns

    def answers(self, command: Command) -> Optional[bool]:
        name, *rest = command.words
        if name in ("true", "false"):
            return name == "true"
        if name == "test":
            return self.test(rest)
        if name == "[" and rest and rest[-1] == "]":
            return self.test(rest[:-1])
        self.command(command)
        return None

    def test(self, expression: Sequence[str]) -> Optional[bool]:
        """``-o`` of ``-a`` of single tests."""
        either: List[Optional[bool]] = []
        for alternative in _split(expression, "-o"):
            both = [self.single(part) for part in _split(alternative, "-a")]
            either.append(False if False in both else None if None in both else True)
        return True if True in either else None if None in either else False

    def single(self, part: Sequence[str]) -> Optional[bool]:
        turns, part = _turned(part)
        answer = self.plain(part)
        return None if answer is None else answer != turns

    def plain(self, part: Sequence[str]) -> Optional[bool]:
        """A single test without a ``!`` before it."""
        if len(part) == 2 and part[0] in ("-f", "-e", "-s"):
            name = file_name(part[1])
            return bool(self.files[name]) if name in self.files else None
        values = [expand(word, self.values) for word in part]
        if None in values:
            return None
        # A word without quotes that comes to nothing is no word.
        known = [value for word, value in zip(part, values) if value or "'" in word or '"' in word]
        if len(known) < 2:
            return not known or bool(known[0])  # `[ ]` is true to GRUB
        if len(known) == 2 and known[0] in ("-n", "-z"):
            return bool(known[1]) == (known[0] == "-n")
        if len(known) == 3 and known[1] in ("=", "=="):
            return known[0] == known[2]
        if len(known) == 3 and known[1] == "!=":
            return known[0] != known[2]
        return None


_CHANGES_ITS_WORDS = ("read", "increment", "decrement")


def _turned(words_of_it: Sequence[str]) -> Tuple[bool, List[str]]:
    """(whether the ``!`` before it turn it round, what is behind them)"""
    turns = 0
    while turns < len(words_of_it) and words_of_it[turns] == "!":
        turns += 1
    return turns % 2 == 1, list(words_of_it[turns:])


def _split(expression: Sequence[str], separator: str) -> List[List[str]]:
    parts: List[List[str]] = [[]]
    for word in expression:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
