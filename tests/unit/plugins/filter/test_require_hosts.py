# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter alone; what Ansible makes of it is tried in test_playbooks.py."""

from __future__ import annotations

from typing import Any

import pytest

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.utils.context_objects import CLIArgs
from ansible_collections.fleetops.kernel.plugins.filter.require_hosts import FilterModule


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line of ansible-playbook."""

    def given(**values: Any) -> None:
        monkeypatch.setattr(context, "CLIARGS", CLIArgs(values))

    given()
    return given


def require(*arguments: Any, **options: Any) -> Any:
    return FilterModule().filters()["require_hosts"](*arguments, **options)


def test_hosts_that_match_are_all_taken_at_once() -> None:
    assert require(["n1", "n2"], ["n2", "n3"], "web") == 0


@pytest.mark.parametrize(
    ("hosts", "matched", "pattern", "limit", "words"),
    [
        ([], [], "all", "", "No host matches the pattern 'all': nothing was read"),
        (["n1"], [], "nobody", "", "No host matches the pattern 'nobody':"),
        (["n1"], ["n2"], "web", "n1", "No host matches the pattern 'web' within --limit 'n1':"),
        ([], [], ["a", "b"], "", "No host matches the pattern 'a,b':"),
    ],
)
def test_no_host_is_an_error(hosts: Any, matched: Any, pattern: Any, limit: str, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        require(hosts, matched, pattern, limit=limit)


@pytest.mark.parametrize("limit", ["", "localhost", "n1,localhost", "localhost:!n1"])
def test_the_implicit_localhost_is_a_host(limit: str) -> None:
    assert require([], [], "localhost", limit=limit) == 0


@pytest.mark.parametrize("limit", ["n1", "all", "!localhost", "localhost-2"])
def test_a_limit_leaves_out_the_implicit_localhost(limit: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"pattern 'localhost' within --limit '{limit}'"):
        require(["n1"], [], "localhost", limit=limit)


@pytest.mark.parametrize("option", ["syntax", "listhosts", "listtasks", "listtags"])
def test_nothing_is_required_where_nothing_runs(options: Any, option: str) -> None:
    options(**{option: True})
    assert require([], [], "all") == 0
