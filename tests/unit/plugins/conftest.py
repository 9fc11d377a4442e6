# SPDX-License-Identifier: GPL-3.0-or-later
"""The real tools, as judges of our orders: each is one process that answers pair after pair.

A tool that is missing is an error: an order that nobody checked is not checked. `make unit` installs them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

# dpkg has no mode for many pairs, so the shell starts it for each.
DPKG = """while read -r one other; do
  if dpkg --compare-versions "$one" lt "$other"; then echo -1
  elif dpkg --compare-versions "$one" gt "$other"; then echo 1
  elif dpkg --compare-versions "$one" eq "$other"; then echo 0
  else echo "dpkg refuses one of $one $other"; fi; done"""
# The module that `linux-version compare` asks.
LINUX_VERSION = (
    """$| = 1; while (<STDIN>) { my ($one, $other) = split; print version_cmp($one, $other), "\\n" }"""
)
RPM = """%{lua:
for line in io.lines() do
  local one, other = line:match("(%S+) (%S+)")
  local a, b = rpm.ver(one), rpm.ver(other)
  io.write(a < b and -1 or a == b and 0 or 1, "\\n")
  io.flush()
end}"""


class Judge:
    """Asks a tool which of two strings comes first."""

    def __init__(self, *argv: str) -> None:
        self.argv = argv
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(self, one: str, other: str) -> int:
        """-1, 0 or 1."""
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        assert f"{one} {other}".split() == [one, other]
        self.process.stdin.write(f"{one} {other}\n")
        answer = self.process.stdout.readline()
        if answer.strip() not in ("-1", "0", "1"):
            self.process.stdin.close()
            raise AssertionError(f"{self.argv}: {one} {other}: {answer}{self.process.stderr.read()}")
        return int(answer)

    def close(self) -> None:
        self.process.communicate(timeout=60)


def judge(*argv: str) -> Iterator[Judge]:
    asked = Judge(*argv)
    yield asked
    asked.close()


@pytest.fixture(scope="session")
def dpkg() -> Iterator[Judge]:
    yield from judge("sh", "-c", DPKG)


@pytest.fixture(scope="session")
def linux_version() -> Iterator[Judge]:
    yield from judge("perl", "-MDebianLinux=version_cmp", "-e", LINUX_VERSION)


@pytest.fixture(scope="session")
def rpm() -> Iterator[Judge]:
    yield from judge("rpm", "--eval", RPM)
