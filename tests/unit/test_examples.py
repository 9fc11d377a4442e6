# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of filters and tests: Ansible shows it, and every template in an example runs.

Where an example says what comes out, behind `# =>` on its line or below it, it does come out. The templates see a node
that was captured, as their tasks would.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump, kernel, links

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
NODE = Path(__file__).resolve().parent / "fixtures" / "hosts" / "debian-6.1-clean"
SIDECARS = sorted([*PLUGINS.glob("filter/*.yml"), *PLUGINS.glob("test/*.yml")])
UNSAID = object()
# Keywords whose value is a template without its braces.
BARE = ("that", "when", "until", "failed_when", "changed_when")


class Example(NamedTuple):
    """A template, what the document says of its result, and the `loop` of its task, which gives it an `item`."""

    template: str
    result: Any
    loop: str | None


def examples(text: str) -> list[Example]:
    """All templates in the EXAMPLES of a document."""
    said = {
        number: yaml.safe_load(line.partition("# =>")[2])
        for number, line in enumerate(text.splitlines())
        if "# =>" in line
    }
    found = []
    for node, bare, loop in _templates(yaml.compose(text), "", None):
        template = node.value if not bare else "{{ " + node.value + " }}"
        # A folded value ends at the beginning of the line below it.
        last = node.end_mark.line - (node.end_mark.column == 0)
        found.append(Example(template, said.pop(last, said.pop(last + 1, UNSAID)), loop))
    assert not said, f"a result that belongs to no template: {said}"
    return found


def _templates(
    node: yaml.Node | None, key: str, loop: str | None
) -> Iterator[tuple[yaml.ScalarNode, bool, str | None]]:
    if isinstance(node, yaml.MappingNode):
        around = next((value.value for name, value in node.value if name.value == "loop"), loop)
        for name, value in node.value:
            yield from _templates(value, name.value, None if name.value == "loop" else around)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _templates(value, key, loop)
    elif isinstance(node, yaml.ScalarNode) and ("{{" in node.value or key in BARE):
        yield node, "{{" not in node.value, loop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an example calls /srv."""
    folder = tmp_path_factory.mktemp("srv")
    (folder / "post-mortem" / "n1").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def templar() -> Templar:
    host = Host(str(NODE))
    facts: dict[str, Any] = {
        "fleetops_kernel": kernel.read(host),
        "fleetops_kdump": kdump.read(host),
        "fleetops_links": links.read(host),
    }
    # What `setup` would add.
    facts["kernel"] = facts["fleetops_kernel"]["release"]
    look = {"ansible_facts": facts, "changed": False}
    node = {"inventory_hostname": "n1", "ansible_facts": facts, "assess_look": look, "look": look}
    world = {
        **node,
        "hostvars": {"n1": node},
        "groups": {"all": ["n1"]},
        "ansible_play_hosts_all": ["n1"],
    }
    return Templar(DataLoader(), variables=world)


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_every_example_runs_and_gives_what_it_says(sidecar: Path, templar: Templar, folder: Path) -> None:
    found = examples(yaml.safe_load(sidecar.read_text())["EXAMPLES"].replace("/srv", str(folder)))
    own = [one for one in found if f"fleetops.kernel.{sidecar.stem}" in one.template]
    assert own, "no example uses it"
    for one in found:
        items = templar.template(trust_as_template(one.loop)) if one.loop else [None]
        assert items
        for item in items:
            with templar.set_temporary_context(
                available_variables={**templar.available_variables, "item": item}
            ):
                result = templar.template(trust_as_template(one.template))
            assert one.result in (UNSAID, result), one.template


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_ansible_doc_shows_it(sidecar: Path) -> None:
    kind = sidecar.parent.name
    done = subprocess.run(
        ["ansible-doc", "-t", kind, f"fleetops.kernel.{sidecar.stem}"],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^> {kind.upper()} \S*fleetops\.kernel\.{sidecar.stem}\b", done.stdout), done.stdout[
        :200
    ]
    assert "EXAMPLES:" in done.stdout


@pytest.mark.parametrize(
    "code", [path for kind in ("filter", "test") for path in sorted((PLUGINS / kind).glob("*.py"))]
)
def test_every_filter_and_test_has_a_document(code: Path) -> None:
    assert code.with_suffix(".yml") in SIDECARS


def test_results_belong_to_the_template_before_them() -> None:
    text = (
        '- debug:\n    msg: "{{ 1 + 1 }}" # => 2\n'
        "- assert:\n    that:\n      - 1 == 2\n      # => false\n      - true\n"
        "- debug:\n    msg: >-\n      {{ [1,\n      2] }}\n    # => [1, 2]\n    other: plain\n"
        "- debug:\n    msg: '{{ item }}'\n  loop: '{{ [3] }}'\n"
    )
    assert examples(text) == [
        ("{{ 1 + 1 }}", 2, None),
        ("{{ 1 == 2 }}", False, None),
        ("{{ true }}", UNSAID, None),
        ("{{ [1, 2] }}", [1, 2], None),
        ("{{ item }}", UNSAID, "{{ [3] }}"),
        ("{{ [3] }}", UNSAID, None),
    ]


def test_a_wrong_result_is_seen(templar: Templar) -> None:
    (one,) = examples('- debug:\n    msg: "{{ 1 + 1 }}" # => 3\n')
    assert templar.template(trust_as_template(one.template)) != one.result


# --- the doors: an error of ours reaches the user as it is -------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ ['5.15.0-112-generic', '6.8.0-1012-aws'] | fleetops.kernel.kernel_sort }}",
        "{{ '5.15.0-112-generic' is fleetops.kernel.newer_kernel_than('6.8.0-1012-aws') }}",
    ],
)
def test_what_has_no_order_fails_and_says_why(template: str, templar: Templar) -> None:
    with pytest.raises(
        Exception, match=r"-generic' and '6[^']*-aws' cannot be ordered: their flavours differ"
    ):
        templar.template(trust_as_template(template))
