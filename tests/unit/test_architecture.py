# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that keep the house in order. Each is a function over a checkout that names what breaks it.

Every rule is shown twice: the checkout keeps it, and it catches what is planted to break it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = "ansible_collections.fleetops.kernel.plugins"
Rule = Callable[[Path], Iterator[str]]

# What is not pure in plugin_utils, and why.
IMPURE = {
    "plugins/plugin_utils/advisories/__init__.py": "the loader reads the catalogue",
    "plugins/plugin_utils/carry.py": "packs a library of the controller and sends it",
    "plugins/plugin_utils/rollout/ledger.py": "the store of the ledger",
    "plugins/plugin_utils/rollout/lock.py": "the lock of a run, and who holds it",
}
# What in plugin_utils/gates/ is no gate.
NO_GATES = ("__init__", "answer", "waiting")
IO_MODULES = re.compile(
    r"(os|subprocess|socket|pathlib|shutil|tempfile|glob|io|urllib|http|pyroute2|ctypes|fcntl|ansible\.module_utils\.basic)(\.|$)"
)

# The one door to files and commands of a node: `_host`, and what is behind it, which nobody else may import.
BEHIND_HOST = ("_live", "_tree", "_files")
DOOR = [f"plugins/module_utils/{name}.py" for name in ("_host", *BEHIND_HOST)]

# Who may import whom: an area of plugins/, and the areas below it.
_BASE = ("module_utils/_errors", "module_utils/_types")
_RULES = (*_BASE, "module_utils/_rules")
_NODE = (*_RULES, "module_utils/_host", "module_utils/_kexec")
_READ = (*_NODE, "module_utils/_platform", "module_utils/_readers")
LAYERS: dict[str, tuple[str, ...]] = {
    "module_utils/_errors": (),
    "module_utils/_types": (),
    "module_utils/_rules": _RULES,
    "module_utils/_sos": _RULES,
    "module_utils/_files": _BASE,
    "module_utils/_live": (*_BASE, "module_utils/_files"),
    "module_utils/_tree": (*_BASE, "module_utils/_files", "module_utils/_sos"),
    "module_utils/_host": (*_BASE, *(f"module_utils/{name}" for name in BEHIND_HOST)),
    "module_utils/_kexec": _NODE,
    "module_utils/_platform": (*_NODE, "module_utils/_platform"),
    "module_utils/_readers": _READ,
    "module_utils/_netlink": _BASE,
    "module_utils/_undo": (*_BASE, "module_utils/_host"),
    "module_utils/_guard": _READ,
    "module_utils/_restore": (*_READ, "module_utils/_guard", "module_utils/_netlink", "module_utils/_undo"),
    "module_utils/_boots": (*_READ, "module_utils/_boots", "module_utils/_undo"),
    "module_utils/_marks": (
        *_READ,
        *(f"module_utils/{name}" for name in ("_guard", "_module", "_restore", "_undo")),
    ),
    "module_utils/_module": (*_BASE, "module_utils/_host"),
    "modules": ("module_utils",),
    "plugin_utils": (*_RULES, "module_utils/_platform", "plugin_utils"),
    "filter": (*_RULES, "plugin_utils"),
    "test": (*_RULES, "plugin_utils"),
    "action": (*_RULES, "module_utils/_host", "plugin_utils"),
    "doc_fragments": (),
}


# --- reading source ----------------------------------------------------------------------------------


def sources(root: Path, *patterns: str) -> Iterator[tuple[str, str]]:
    """(path, text) of the files that match, without empty ones."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            text = path.read_text()
            if text.strip():
                yield str(path.relative_to(root)), text


def imports(text: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a source imports, with the names behind `from ... import`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (node.lineno, f"{'.' * node.level}{node.module or ''}.{name.name}") for name in node.names
            )


def calls(text: str) -> Iterator[tuple[int, str]]:
    """(line, name as it is written) of all calls."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


NODE_CODE = ("plugins/modules/*.py", "plugins/module_utils/**/*.py")
PURE_CODE = ("plugins/module_utils/_rules/*.py", "plugins/plugin_utils/**/*.py")
ALL_CODE = (
    *NODE_CODE,
    "plugins/plugin_utils/**/*.py",
    "plugins/action/*.py",
    "plugins/filter/*.py",
    "plugins/test/*.py",
)


# --- rules over code ---------------------------------------------------------------------------------


def pure_code_does_no_io(root: Path) -> Iterator[str]:
    """Rules and the controller's judgement work on what they are given."""
    for path, text in sources(root, *PURE_CODE):
        if path in IMPURE:
            continue
        for line, name in imports(text):
            if IO_MODULES.match(name):
                yield f"{path}:{line}: imports {name}"
        for line, name in calls(text):
            if name in ("open", "input", "print"):
                yield f"{path}:{line}: calls {name}()"


def files_and_commands_go_through_host(root: Path) -> Iterator[str]:
    """On a node, one door leads to files and commands."""
    for path, text in sources(root, *NODE_CODE):
        if path in DOOR:
            continue
        for line, name in imports(text):
            behind = name.startswith(tuple(f"{PLUGINS}.module_utils.{part}" for part in BEHIND_HOST))
            if behind or re.match(
                r"(os|subprocess|socket|pathlib|shutil|tempfile|glob|io|ctypes|fcntl)(\.|$)", name
            ):
                yield f"{path}:{line}: imports {name}, which is for _host only"
        for line, name in calls(text):
            if name == "open" or name.endswith((".run_command", ".atomic_move")):
                yield f"{path}:{line}: calls {name}(), which is for _host only"


def pyroute2_stays_in_netlink(root: Path) -> Iterator[str]:
    """Its import alone costs 150 ms: whoever only reads must not pay them."""
    for path, text in sources(root, *ALL_CODE):
        for line, name in imports(text):
            if name.split(".")[0] == "pyroute2" and path != "plugins/module_utils/_netlink.py":
                yield f"{path}:{line}: imports {name}, which is for _netlink only"


def reading_does_not_import_netlink(root: Path) -> Iterator[str]:
    """And a fact module must not carry it to the node either."""
    for path, text in sources(root, "plugins/modules/*_facts.py", "plugins/module_utils/_readers/*.py"):
        for line, name in imports(text):
            if "_netlink" in name or "_restore" in name:
                yield f"{path}:{line}: imports {name}"


def ansible_module_stays_in_module(root: Path) -> Iterator[str]:
    """One place makes an AnsibleModule, asks for check mode and turns errors into fail_json."""
    for path, text in sources(root, *NODE_CODE):
        if path == "plugins/module_utils/_module.py":
            continue
        for line, name in imports(text):
            if name.startswith("ansible.module_utils.basic"):
                yield f"{path}:{line}: imports {name}, which is for _module only"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr in ("check_mode", "fail_json", "exit_json"):
                yield f"{path}:{node.lineno}: uses .{node.attr}, which is for _module only"


def imports_go_one_way(root: Path) -> Iterator[str]:
    """modules, filters and actions stand on what is below them, and nothing imports a module."""
    for path, text in sources(root, "plugins/**/*.py"):
        area = area_of(path.removeprefix("plugins/"))
        allowed = LAYERS.get(area)
        if allowed is None:
            yield f"{path}: nobody said whom {area} may import: add it to LAYERS"
            continue
        for line, name in imports(text):
            if name.startswith("."):
                yield f"{path}:{line}: a relative import: {name}"
            if not name.startswith(f"{PLUGINS}."):
                continue
            target = area_of(name.removeprefix(f"{PLUGINS}.").replace(".", "/"))
            if path in IMPURE and target == "module_utils/_host":
                continue
            if not any(target == below or target.startswith(f"{below}/") for below in allowed):
                yield f"{path}:{line}: {area} must not import {target}"


def area_of(path: str) -> str:
    """`module_utils/_rules` of module_utils/_rules/links.py, `plugin_utils` of plugin_utils/plan.py."""
    parts = path.removesuffix(".py").split("/")
    return "/".join(parts[:2]) if parts[0] == "module_utils" else parts[0]


def node_code_is_imported_by_name(root: Path) -> Iterator[str]:
    """Ansible sends a node only what it finds imported in the source."""
    for path, text in sources(root, *NODE_CODE):
        for line, name in [*imports(text), *calls(text)]:
            if re.search(r"\bimportlib\b|\b__import__\b|\bpkgutil\b", name):
                yield f"{path}:{line}: {name}: what is imported so does not travel to the node"


# After Python 3.8 (What's New in Python 3.9 to 3.12). mypy and the grammar see the rest.
_NEWER = re.compile(
    r"\.(removeprefix|removesuffix|bit_count|is_relative_to|hardlink_to)$|^functools\.cache$|^itertools\.(pairwise|batched)$"
)
_GENERIC = ("dict", "list", "tuple", "set", "frozenset", "type")


def node_code_runs_on_python_3_8(root: Path) -> Iterator[str]:
    """The oldest Python that a supported node has."""
    for path, text in sources(root, *NODE_CODE):
        try:
            tree = ast.parse(text, feature_version=(3, 8))
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"
            continue
        if "from __future__ import annotations" not in text:
            yield f"{path}: lacks 'from __future__ import annotations'"
        annotations = {
            id(inner)
            for node in ast.walk(tree)
            for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
            if part is not None
            for inner in ast.walk(part)
        }
        for node in ast.walk(tree):
            if id(node) in annotations:
                continue
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Name)
                and node.value.id in _GENERIC
            ):
                yield f"{path}:{node.lineno}: {ast.unparse(node)} at run time needs Python 3.9"
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.BitOr)
                and _is_type(node.left, node.right)
            ):
                yield f"{path}:{node.lineno}: {ast.unparse(node)} at run time needs Python 3.10"
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if _NEWER.search(name) or (
                    name == "zip" and any(word.arg == "strict" for word in node.keywords)
                ):
                    yield f"{path}:{node.lineno}: {name} is newer than Python 3.8"


def _is_type(*sides: ast.expr) -> bool:
    names = {*_GENERIC, "str", "int", "bytes", "float", "bool", "Optional", "Any"}
    return any(
        (isinstance(side, ast.Constant) and side.value is None)
        or (isinstance(side, ast.Name) and side.id in names)
        for side in sides
    )


def every_file_says_its_licence(root: Path) -> Iterator[str]:
    """And module_utils that they are private."""
    for path, text in sources(root, "plugins/**/*.py"):
        head = "\n".join(text.splitlines()[:4])
        if (
            "SPDX-License-Identifier: GPL-3.0-or-later" not in head
            or "GNU General Public License v3.0+" not in head
        ):
            yield f"{path}: lacks the licence header"
        if path.startswith("plugins/module_utils/") and "This module util is PRIVATE" not in head:
            yield f"{path}: does not say that it is private"


# --- rules over modules ------------------------------------------------------------------------------


def constants(text: str) -> dict[str, str]:
    """The string constants at the top of a module."""
    found = {}
    for node in ast.parse(text).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found.update(
                {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
            )
    return found


def options_of(root: Path, documentation: Any) -> set[str]:
    """The options of a module, those of its fragments included."""
    found = set(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment", []):
        name, _dot, variant = fragment.removeprefix("fleetops.kernel.").partition(".")
        path = root / "plugins" / "doc_fragments" / f"{name}.py"
        if path.exists():
            (body,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
            texts = constants(ast.unparse(ast.Module(body.body, [])))
            found |= set(yaml.safe_load(texts[(variant or "documentation").upper()]).get("options") or {})
    return found


def modules_are_documented(root: Path) -> Iterator[str]:
    """Examples are tasks with options that exist; what is returned is what RETURN says."""
    documented: dict[str, tuple[set[str], Any]] = {}
    for path, text in sources(root, "plugins/modules/*.py"):
        found = constants(text)
        missing = [
            name for name in ("DOCUMENTATION", "EXAMPLES", "RETURN") if not found.get(name, "").strip()
        ]
        if missing:
            yield f"{path}: has no {', '.join(missing)}"
            continue
        try:
            parsed = {name: yaml.safe_load(found[name]) for name in ("DOCUMENTATION", "EXAMPLES", "RETURN")}
        except yaml.YAMLError as error:
            yield f"{path}: {error}"
            continue
        documentation = parsed["DOCUMENTATION"]
        documented[f"fleetops.kernel.{Path(path).stem}"] = (
            options_of(root, documentation),
            parsed["EXAMPLES"],
        )
        if documentation["module"] != Path(path).stem:
            yield f"{path}: documents a module '{documentation['module']}'"
        action = root / "plugins/action" / Path(path).name
        # A module that only documents an action plugin has nothing to run.
        code = text if "\ndef main(" in text or not action.exists() else action.read_text()
        yield from _returned(path, code, set(parsed["RETURN"] or {}), _imported(root, code))
    for module, (options, examples) in documented.items():
        tasks = examples or []
        if not any(module in task for task in tasks):
            yield f"{module}: no example uses it"
        for task in tasks:
            for name in task:
                if name.startswith("fleetops.kernel.") and name not in documented:
                    yield f"{module}: an example uses '{name}', which does not exist"
            for option in set(task.get(module) or {}) - options:
                yield f"{module}: an example uses the option '{option}', which does not exist"


def words_of(*nodes: ast.AST | None) -> set[str]:
    """The string constants among these."""
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _imported(root: Path, text: str) -> list[str]:
    """The files below module_utils whose names this source takes: what is returned may be made there."""
    names = re.findall(r"^from ansible_collections\S+\.module_utils\.(\S+) import", text, re.MULTILINE)
    paths = [root / "plugins/module_utils" / f"{name.replace('.', '/')}.py" for name in names]
    return [path.read_text() for path in paths if path.exists()]


def _returned(path: str, text: str, documented: set[str], imported: Iterable[str] = ()) -> Iterator[str]:
    """Keys that the source hands to Result, or sets on what it returned, against RETURN."""
    tree = ast.parse(text)
    written: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Result":
            for word in node.keywords:
                if word.arg == "returned" and isinstance(word.value, ast.Dict):
                    written |= words_of(*word.value.keys)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".returned"):
            written |= words_of(node.slice)
    for key in sorted(written - documented):
        yield f"{path}: returns '{key}', which RETURN does not know"
    words = words_of(*ast.walk(tree), *(node for one in imported for node in ast.walk(ast.parse(one))))
    for key in sorted(documented - written - words):
        yield f"{path}: RETURN knows '{key}', which nothing in the source names"


# --- rules over roles, playbooks, advisories ---------------------------------------------------------


def roles_declare_their_defaults(root: Path) -> Iterator[str]:
    """defaults/main.yml is meta/argument_specs.yml, for every entry point."""
    for role in sorted(path for path in root.glob("roles/*") if path.is_dir()):
        defaults_file = role / "defaults" / "main.yml"
        specs_file = role / "meta" / "argument_specs.yml"
        if not specs_file.exists():
            yield f"{role.name}: has no meta/argument_specs.yml"
            continue
        defaults = (yaml.safe_load(defaults_file.read_text()) if defaults_file.exists() else None) or {}
        declared: dict[str, Any] = {}
        for entry, spec in yaml.safe_load(specs_file.read_text())["argument_specs"].items():
            for name, option in (spec.get("options") or {}).items():
                if option.get("default") != declared.setdefault(name, option).get("default"):
                    yield f"{role.name}: {entry} has another default of {name} than an entry point before it"
        public = {name for name in declared if not name.startswith("fleetops_")}
        if len(public) > 15:
            yield f"{role.name}: {len(public)} variables, more than 15"
        for name in sorted({*public, *defaults}):
            if not name.startswith(f"{role.name}_"):
                yield f"{role.name}: the variable {name} does not begin with the role's name"
            elif name not in declared:
                yield f"{role.name}: {name} has a default, but no argument spec"
            elif name not in defaults and not declared[name].get("required") and "default" in declared[name]:
                yield f"{role.name}: {name} has a default in the argument spec only"
            elif name in defaults and declared[name].get("default") != defaults[name]:
                spec = declared[name].get("default")
                yield f"{role.name}: {name} is {defaults[name]!r} by default, and {spec!r} by its spec"


def playbook_files(root: Path) -> Iterator[tuple[str, Any]]:
    """(path, content) of tasks, handlers and playbooks."""
    for path in sorted(
        [
            *root.glob("roles/*/tasks/**/*.yml"),
            *root.glob("roles/*/handlers/*.yml"),
            *root.glob("playbooks/**/*.yml"),
        ]
    ):
        yield str(path.relative_to(root)), yaml.safe_load(path.read_text())


def tasks_in(content: Any) -> Iterator[dict[str, Any]]:
    """Every task, however deep in blocks and plays."""
    if isinstance(content, list):
        for item in content:
            yield from tasks_in(item)
    elif isinstance(content, dict):
        yield content
        for key in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks_in(content.get(key))


def roles_and_playbooks_keep_their_hands_clean(root: Path) -> Iterator[str]:
    """No shell, no ignored error, no guess at the distribution; become is the user's affair."""
    for path, content in playbook_files(root):
        for task in tasks_in(content):
            name = task.get("name", "a task without a name")
            for key in task:
                if key.rpartition(".")[2] in ("shell", "raw", "script"):
                    yield f"{path}: '{name}' uses {key}"
                if key in ("ignore_errors", "become", "become_user"):
                    yield f"{path}: '{name}' sets {key}"
            plain = {
                key: value for key, value in task.items() if key not in ("block", "rescue", "always", "tasks")
            }
            for fact in (
                "ansible_distribution",
                "ansible_os_family",
                "ansible_facts.os_family",
                "ansible_facts['os_family']",
            ):
                if fact in yaml.safe_dump(plain):
                    yield f"{path}: '{name}' asks for {fact}"


def only_node_maintenance_reboots(root: Path) -> Iterator[str]:
    """One place knows how a node comes back."""
    for path, content in playbook_files(root):
        for task in tasks_in(content):
            if any(key.rpartition(".")[2] == "reboot" for key in task) and not path.startswith(
                "roles/node_maintenance/"
            ):
                yield f"{path}: '{task.get('name')}' reboots"


def gates_are_whole(root: Path) -> Iterator[str]:
    """plugin_utils/gates/<name>.py says what it READS and has judge(), and the filter `gate` documents the name."""
    sidecar = root / "plugins/filter/gate.yml"
    documented = sidecar.read_text() if sidecar.exists() else ""
    for path, text in sources(root, "plugins/plugin_utils/gates/*.py"):
        name = Path(path).stem
        if name in NO_GATES:
            continue
        body = ast.parse(text).body
        named = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        named |= {
            ast.unparse(target) for node in body if isinstance(node, ast.Assign) for target in node.targets
        }
        for part in ("READS", "judge"):
            if part not in named:
                yield f"{path}: has no {part}"
        if not re.search(rf"\b{name}\b", documented):
            yield f"{path}: plugins/filter/gate.yml does not know '{name}'"


def advisories_prove_themselves(root: Path) -> Iterator[str]:
    """Each carries vectors of both kinds: a machine that has the defect, and one that has not."""
    for path, text in sources(root, "plugins/plugin_utils/advisories/*.yml"):
        answers = {vector.get("status") for vector in yaml.safe_load(text).get("vectors") or []}
        if "affected" not in answers or not answers & {"ok", "silent"}:
            yield f"{path}: lacks a vector that is affected, or one that is not"


RULES: list[Rule] = [
    pure_code_does_no_io,
    files_and_commands_go_through_host,
    pyroute2_stays_in_netlink,
    reading_does_not_import_netlink,
    ansible_module_stays_in_module,
    imports_go_one_way,
    node_code_is_imported_by_name,
    node_code_runs_on_python_3_8,
    every_file_says_its_licence,
    modules_are_documented,
    roles_declare_their_defaults,
    roles_and_playbooks_keep_their_hands_clean,
    only_node_maintenance_reboots,
    gates_are_whole,
    advisories_prove_themselves,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps(rule: Rule) -> None:
    assert list(rule(CHECKOUT)) == []


# --- each rule catches what breaks it ----------------------------------------------------------------

HEAD = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
from __future__ import annotations
"""
UTIL = "plugins/module_utils"
ROLE = "roles/thing"
SPECS = "argument_specs:\n  main:\n    options:\n"


def specs(*lines: str) -> str:
    return SPECS + "".join(f"      {line}\n" for line in lines)


def task(**keys: Any) -> str:
    return yaml.safe_dump([{"name": "outer", "block": [{"name": "planted", **keys}]}])


def module(
    examples: str = "- fleetops.kernel.thing:\n", returned: str = "done:\n  type: bool\n", code: str = ""
) -> str:
    return (
        f'{HEAD}DOCUMENTATION = """\nmodule: thing\noptions:\n  size:\n    type: str\n'
        f'extends_documentation_fragment: [fleetops.kernel.attributes.facts]\n"""\n'
        f'EXAMPLES = """\n{examples}"""\nRETURN = """\n{returned}"""\n'
        f"def run():\n    return Result(returned={{'done': True}})\n{code}\ndef main():\n    run()\n"
    )


FRAGMENT = 'class ModuleDocFragment:\n    FACTS = """\noptions:\n  root:\n    type: path\n"""\n'
# rule, files of a checkout that breaks it, what it says
PLANTED: list[tuple[Rule, dict[str, str], str]] = [
    (pure_code_does_no_io, {f"{UTIL}/_rules/x.py": "import os.path\n"}, "_rules/x.py:1: imports os.path"),
    (
        pure_code_does_no_io,
        {f"{UTIL}/_rules/x.py": "def f(p):\n    from pathlib import Path\n"},
        "x.py:2: imports pathlib.Path",
    ),
    (
        pure_code_does_no_io,
        {f"{UTIL}/_rules/x.py": "from ansible.module_utils.basic import AnsibleModule\n"},
        "basic",
    ),
    (
        pure_code_does_no_io,
        {"plugins/plugin_utils/x.py": "text = open('/etc/passwd').read()\n"},
        "calls open()",
    ),
    (
        files_and_commands_go_through_host,
        {f"{UTIL}/_readers/x.py": "import subprocess\n"},
        "imports subprocess",
    ),
    (
        files_and_commands_go_through_host,
        {"plugins/modules/x.py": "from os import path\n"},
        "imports os.path",
    ),
    (
        files_and_commands_go_through_host,
        {"plugins/modules/x.py": f"from {PLUGINS}.module_utils import _files\n"},
        "module_utils._files, which is for _host only",
    ),
    (files_and_commands_go_through_host, {"plugins/modules/x.py": "open('/x')\n"}, "calls open()"),
    (
        files_and_commands_go_through_host,
        {"plugins/modules/x.py": "module.run_command(['x'])\n"},
        "module.run_command()",
    ),
    (
        pyroute2_stays_in_netlink,
        {"plugins/modules/x.py": "def f():\n    import pyroute2.iproute\n"},
        "x.py:2: imports pyroute2",
    ),
    (
        pyroute2_stays_in_netlink,
        {"plugins/action/x.py": "from pyroute2 import IPRoute\n"},
        "imports pyroute2.IPRoute",
    ),
    (
        reading_does_not_import_netlink,
        {"plugins/modules/x_facts.py": f"from {PLUGINS}.module_utils import _netlink\n"},
        "_netlink",
    ),
    (
        ansible_module_stays_in_module,
        {"plugins/modules/x.py": "from ansible.module_utils.basic import AnsibleModule\n"},
        "for _module only",
    ),
    (
        ansible_module_stays_in_module,
        {"plugins/modules/x.py": "if module.check_mode:\n    pass\n"},
        "uses .check_mode",
    ),
    (ansible_module_stays_in_module, {f"{UTIL}/_x.py": "module.fail_json(msg='x')\n"}, "uses .fail_json"),
    (
        imports_go_one_way,
        {f"{UTIL}/_rules/x.py": f"from {PLUGINS}.module_utils._host import Host\n"},
        "must not import module_utils/_host",
    ),
    (
        imports_go_one_way,
        {f"{UTIL}/_platform/x.py": f"from {PLUGINS}.module_utils._readers import kernel\n"},
        "must not import module_utils/_readers",
    ),
    (
        imports_go_one_way,
        {"plugins/filter/x.py": f"from {PLUGINS}.modules import undo\n"},
        "filter must not import modules",
    ),
    (
        imports_go_one_way,
        {"plugins/modules/x.py": f"import {PLUGINS}.plugin_utils.plan\n"},
        "modules must not import plugin_utils",
    ),
    (imports_go_one_way, {f"{UTIL}/_host.py": "from . import _types\n"}, "a relative import"),
    (imports_go_one_way, {f"{UTIL}/_new.py": "import re\n"}, "nobody said whom module_utils/_new may import"),
    (node_code_is_imported_by_name, {"plugins/modules/x.py": "import importlib\n"}, "does not travel"),
    (node_code_is_imported_by_name, {f"{UTIL}/_x.py": "__import__('json')\n"}, "does not travel"),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": HEAD + "match x:\n    case 1:\n        pass\n"},
        "_x.py:",
    ),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": HEAD + "Alias = dict[str, int]\n"},
        "dict[str, int] at run time",
    ),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": HEAD + "Alias = str | None\n"},
        "str | None at run time",
    ),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": HEAD + "x = 'abc'.removeprefix('a')\n"},
        "removeprefix is newer",
    ),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": HEAD + "x = zip([], [], strict=True)\n"},
        "zip is newer",
    ),
    (
        node_code_runs_on_python_3_8,
        {f"{UTIL}/_x.py": "def f(x: dict[str, int]) -> None: ...\n"},
        "lacks 'from __future__",
    ),
    (every_file_says_its_licence, {"plugins/filter/x.py": "import re\n"}, "lacks the licence header"),
    (
        every_file_says_its_licence,
        {f"{UTIL}/_x.py": HEAD.replace("PRIVATE", "public")},
        "does not say that it is private",
    ),
    (modules_are_documented, {"plugins/modules/thing.py": HEAD}, "has no DOCUMENTATION, EXAMPLES, RETURN"),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(examples="- debug:\n")},
        "no example uses it",
    ),
    (modules_are_documented, {"plugins/modules/thing.py": module(examples="- [unclosed\n")}, "while parsing"),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(examples="- fleetops.kernel.thing:\n    sice: 1\n")},
        "the option 'sice'",
    ),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(examples="- fleetops.kernel.thing:\n- fleetops.kernel.gone:\n")},
        "'fleetops.kernel.gone', which does not exist",
    ),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(returned="{}\n")},
        "returns 'done', which RETURN does not know",
    ),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(returned="done: {}\nother: {}\n")},
        "RETURN knows 'other'",
    ),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module(code="result.returned['more'] = 1\n")},
        "returns 'more'",
    ),
    (
        modules_are_documented,
        {"plugins/modules/thing.py": module().replace("module: thing", "module: think")},
        "documents a module 'think'",
    ),
    (
        roles_declare_their_defaults,
        {f"{ROLE}/defaults/main.yml": "thing_a: 1\n"},
        "has no meta/argument_specs.yml",
    ),
    (
        roles_declare_their_defaults,
        {
            f"{ROLE}/meta/argument_specs.yml": SPECS.replace("options:\n", "options: {}\n"),
            f"{ROLE}/defaults/main.yml": "thing_a: 1\n",
        },
        "thing_a has a default, but no argument spec",
    ),
    (
        roles_declare_their_defaults,
        {f"{ROLE}/meta/argument_specs.yml": specs("thing_a: {default: 1}")},
        "thing_a has a default in the argument spec only",
    ),
    (
        roles_declare_their_defaults,
        {
            f"{ROLE}/meta/argument_specs.yml": specs("thing_a: {default: 1}"),
            f"{ROLE}/defaults/main.yml": "thing_a: 2\n",
        },
        "thing_a is 2 by default, and 1 by its spec",
    ),
    (
        roles_declare_their_defaults,
        {
            f"{ROLE}/meta/argument_specs.yml": specs("other_a: {default: 1}"),
            f"{ROLE}/defaults/main.yml": "other_a: 1\n",
        },
        "does not begin with the role's name",
    ),
    (
        roles_declare_their_defaults,
        {f"{ROLE}/meta/argument_specs.yml": specs(*(f"thing_{n}: {{type: str}}" for n in range(16)))},
        "16 variables, more than 15",
    ),
    (
        roles_declare_their_defaults,
        {
            f"{ROLE}/meta/argument_specs.yml": specs("thing_a: {default: 1}")
            + "  apply:\n    options:\n      thing_a: {default: 2}\n",
            f"{ROLE}/defaults/main.yml": "thing_a: 1\n",
        },
        "apply has another default of thing_a",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {f"{ROLE}/tasks/main.yml": task(**{"ansible.builtin.shell": "ls"})},
        "'planted' uses ansible.builtin.shell",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {f"{ROLE}/handlers/main.yml": task(shell="ls")},
        "uses shell",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {f"{ROLE}/tasks/gates/x.yml": task(debug={}, ignore_errors=True)},
        "sets ignore_errors",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {"playbooks/x.yml": yaml.safe_dump([{"hosts": "all", "become": True, "tasks": []}])},
        "sets become",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {f"{ROLE}/tasks/main.yml": task(debug={}, when="ansible_distribution == 'Debian'")},
        "asks for ansible_distribution",
    ),
    (
        roles_and_playbooks_keep_their_hands_clean,
        {"playbooks/tasks/x.yml": task(shell="ls")},
        "uses shell",
    ),
    (
        only_node_maintenance_reboots,
        {f"{ROLE}/tasks/main.yml": task(**{"ansible.builtin.reboot": {}})},
        "'planted' reboots",
    ),
    (
        gates_are_whole,
        {
            "plugins/plugin_utils/gates/armed.py": HEAD + "def judge(facts): ...\n",
            "plugins/filter/gate.yml": "choices: [armed]\n",
        },
        "gates/armed.py: has no READS",
    ),
    (
        gates_are_whole,
        {
            "plugins/plugin_utils/gates/armed.py": HEAD + 'READS = ("kdump",)\ndef judge(facts): ...\n',
            "plugins/filter/gate.yml": "choices: [armed_twice]\n",
        },
        "does not know 'armed'",
    ),
    (advisories_prove_themselves, {"plugins/plugin_utils/advisories/x.yml": "id: x\n"}, "lacks a vector"),
    (
        advisories_prove_themselves,
        {"plugins/plugin_utils/advisories/x.yml": "vectors: [{status: affected}]\n"},
        "lacks a vector",
    ),
]


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"plugins/doc_fragments/attributes.py": FRAGMENT, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(("rule", "files", "says"), PLANTED, ids=lambda part: getattr(part, "__name__", "-"))
def test_a_rule_catches(rule: Rule, files: dict[str, str], says: str, tmp_path: Path) -> None:
    found = [line for line in rule(plant(tmp_path, files)) if "doc_fragments" not in line]
    assert len(found) == 1, found
    assert says in found[0]


def test_every_rule_is_shown_to_catch_something() -> None:
    assert {rule for rule, _files, _says in PLANTED} == set(RULES)


def test_a_rule_lets_the_good_pass(tmp_path: Path) -> None:
    """Not everything is caught: the same places, kept as they should be."""
    plant(
        tmp_path,
        {
            "plugins/modules/thing.py": module(
                examples="- fleetops.kernel.thing:\n    size: 1\n    root: /mnt\n"
            ),
            f"{UTIL}/_rules/x.py": HEAD
            + "import re\ndef f(x: dict[str, int | None]) -> None: ...\n"
            + f"from {PLUGINS}.module_utils._types import Link\n",
            f"{ROLE}/meta/argument_specs.yml": specs(
                "thing_a: {default: 1}", "thing_b: {required: true}", "fleetops_zone: {type: str}"
            ),
            f"{ROLE}/defaults/main.yml": "thing_a: 1\n",
            f"{ROLE}/tasks/main.yml": task(**{"ansible.builtin.command": "ls"}),
            "roles/node_maintenance/tasks/reboot.yml": task(**{"ansible.builtin.reboot": {}}),
            "roles/node_maintenance/meta/argument_specs.yml": SPECS.replace("options:\n", "options: {}\n"),
            "plugins/plugin_utils/advisories/x.yml": "vectors: [{status: affected}, {status: ok}]\n",
            "plugins/doc_fragments/attributes.py": HEAD + FRAGMENT,
        },
    )
    assert [line for rule in RULES for line in rule(tmp_path)] == []
