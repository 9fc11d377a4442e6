# SPDX-License-Identifier: GPL-3.0-or-later
"""The parsers of what nodes say, against any text.

For each: no text raises anything but our own error; what a generator made of known parts is read back as these parts,
every time; and what is longer than any real source is refused. Readers turn the errors into unknown.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import string
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import LARGEST, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump as kdump_reader
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel as kernel_reader
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    bounds,
    cmdline,
    crashkernel,
    dpkg,
    grub,
    grubscript,
    kdump,
    kernel,
    shellvar,
)

HOSTS = Path(__file__).parents[2] / "fixtures" / "hosts"
WORD = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
# Whatever a text can hold, and more often what some parser gives a meaning.
ANY = st.one_of(
    st.text(max_size=60),
    st.text("\"'\\$`=#;&|<>{}()[]!~,:@-+/ \t\n\r\0\x1f\x85\u00a0\u2028\u212a\u0661aA0179", max_size=60),
)


# --- the kernel command line -------------------------------------------------------------------------

# lib/ctype.c, without what UTF-8 makes of its upper half
C_SPACE = " \t\n\v\f\r"
PLAIN = st.text(string.ascii_letters + string.digits + "._-,:/+@%\u00a0\u0661\x1c'\\$", max_size=8)
KEY = st.text(string.ascii_lowercase + "._", min_size=1, max_size=8)
TOKEN = st.one_of(
    KEY,
    st.builds("{}={}".format, KEY, PLAIN),
    st.builds('{}="{}"'.format, KEY, st.text("ab =-\t", max_size=8)),
    st.builds('"{}={}"'.format, KEY, st.text("ab =-\t", max_size=8)),
)


def next_args(text: str) -> list[str]:
    """The kernel's own loop (lib/cmdline.c next_arg), letter by letter."""
    found, current, quoted = [], "", False
    for letter in text:
        if letter in C_SPACE and not quoted:
            found += [current] if current else []
            current = ""
            continue
        quoted = quoted != (letter == '"')
        current += letter
    return found + ([current] if current else [])


@settings(max_examples=500)
@given(st.one_of(ANY, st.text('"= ab\t-', max_size=30)))
def test_any_command_line_is_cut_where_the_kernel_cuts_it(text: str) -> None:
    assert cmdline.tokenise(text) == next_args(text)


@settings(max_examples=500)
@given(st.lists(TOKEN, max_size=8), st.lists(TOKEN, max_size=3), st.sampled_from([" ", "  ", "\t", " \n"]))
def test_a_command_line_is_read_as_it_was_put_together(
    tokens: list[str], init: list[str], space: str
) -> None:
    line = space.join(tokens + (["--", *init] if init else []))
    found = cmdline.parse(line)
    assert (found["tokens"], found["init_args"]) == (tokens, init)
    # And what was read makes the same line again.
    assert cmdline.parse(" ".join(tokens))["raw"] == " ".join(found["tokens"])


@given(ANY)
def test_any_command_line_is_read(text: str) -> None:
    found = cmdline.parse(text)
    for token in found["tokens"]:
        cmdline.canonical(token)
        cmdline.value(token)
        with contextlib.suppress(FleetopsError):
            assert cmdline.tokenise(cmdline.check_token(token)) == [token]
    cmdline.panic_timeout([*found["tokens"], f"panic={text}"])


@given(st.integers(-(1 << 33), 1 << 33), st.sampled_from(["{}", "{:#x}", "{:+d}", "0{:o}"]))
def test_any_number_is_read_as_the_kernel_reads_it(number: int, form: str) -> None:
    assume(number >= 0 or form != "0{:o}")
    fits = -(1 << 31) <= number < 1 << 31
    assert cmdline.panic_timeout([f"panic={form.format(number)}"]) == (number if fits else None)


@pytest.mark.parametrize("value", ["08", "1" * 5000, "0x" + "1" * 5000, "\u0661", "1 ", "-", "+-1", "0x"])
def test_what_is_no_number_to_the_kernel_leaves_the_one_before(value: str) -> None:
    assert cmdline.panic_timeout([f"panic={value}"]) is None
    assert cmdline.panic_timeout(["panic=5", f"panic={value}"]) == 5


# --- crashkernel= -----------------------------------------------------------------------------------

UNITS = {"": 0, "k": 10, "K": 10, "M": 20, "g": 30, "G": 30, "T": 40}
SIZE = st.builds(
    lambda number, form, unit: (f"{form.format(number)}{unit}", number << UNITS[unit]),
    st.integers(0, 1 << 12),
    st.sampled_from(["{}", "0x{:x}", "0X{:X}"]),
    st.sampled_from(list(UNITS)),
)
Size = tuple[str, int]


@settings(max_examples=200)
@given(st.lists(SIZE, min_size=2, max_size=6, unique_by=lambda size: size[1]), st.data())
def test_a_crashkernel_value_is_read_as_it_was_put_together(sizes: list[Size], data: st.DataObject) -> None:
    offset = data.draw(st.one_of(st.none(), SIZE))
    at, start = (f"@{offset[0]}", offset[1]) if offset else ("", None)
    text, size = sizes[0]
    assert crashkernel.parse(text + at) == {"ranges": [(0, None, size)], "offset": start, "kind": ""}
    for kind in ("high", "low", "cma"):
        assert crashkernel.parse(f"{text},{kind}") == {
            "ranges": [(0, None, size)],
            "offset": None,
            "kind": kind,
        }
    limits: list[Size | None] = [*sorted(sizes, key=lambda limit: limit[1]), None]
    parts = [(low, high, data.draw(SIZE)) for low, high in itertools.pairwise(limits) if low]
    value = ",".join(f"{low[0]}-{high[0] if high else ''}:{of[0]}" for low, high, of in parts)
    assert crashkernel.parse(value + at) == {
        "ranges": [(low[1], high[1] if high else None, of[1]) for low, high, of in parts],
        "offset": start,
        "kind": "",
    }


@settings(max_examples=500)
@given(
    st.one_of(ANY, st.text("0123456789xMGKk\u212a\u0661-:,@highlowcma ", max_size=24)),
    st.integers(0, 1 << 45),
)
@example("1" * 5000, 0)
@example("1\u212a", 0)
def test_any_crashkernel_value_is_read_or_refused(text: str, memory: int) -> None:
    with contextlib.suppress(FleetopsError):
        assert (crashkernel.reserved_for(crashkernel.check(text), memory) or 0) >= 0
        # The kernel reads ASCII only.
        assert text.isascii()


# --- grub.cfg ---------------------------------------------------------------------------------------

TITLE = st.text("abz01 .,()>'\"$\\{}#;-\u00e9", min_size=1, max_size=12).filter(lambda text: text[0] != "-")
IDENTITY = st.from_regex(r"\A[a-z][a-z0-9.+-]{0,12}(?:>[a-z])?\Z")
KERNEL = st.sampled_from(
    ["/boot/vmlinuz-6.1.0-47-amd64", "/vmlinuz-5.15.0-112-generic", "/vmlinux-6.4.0-1.1-default", "/memtest"]
)


class Entry(NamedTuple):
    """What a menu is made of; ``children`` of a submenu."""

    title: str
    identity: str | None
    kernel: str
    words: list[str]
    children: list[Any] | None


ENTRY = st.builds(
    Entry,
    TITLE,
    st.none() | IDENTITY,
    KERNEL,
    st.lists(
        st.sampled_from(["ro", "quiet", "panic=10", "root=UUID=1-a", "console=ttyS0,115200", "single"]),
        max_size=4,
    ),
    st.none(),
)
MENU = st.recursive(
    st.lists(ENTRY, min_size=1, max_size=3),
    lambda inner: st.lists(
        st.one_of(ENTRY, st.builds(Entry, TITLE, st.none() | IDENTITY, st.just(""), st.just([]), inner)),
        min_size=1,
        max_size=3,
    ),
    max_leaves=6,
)


def quoted(text: str) -> str:
    """As grub-mkconfig quotes a title."""
    return "'" + text.replace("'", "'\\''") + "'"


def written(menu: list[Entry], noise: st.DataObject, depth: int = 0) -> list[str]:
    """A menu as grub-mkconfig writes it, with what stands between its lines."""
    lines: list[str] = []
    for entry in menu:
        lines += noise.draw(
            st.sampled_from(
                [[], [""], ["### BEGIN /etc/grub.d/10_linux ###"], ["  # a 'comment"], ["set x=1"]]
            )
        )
        identity = f" $menuentry_id_option {quoted(entry.identity)}" if entry.identity else ""
        if entry.children is not None:
            lines += [
                f"submenu {quoted(entry.title)}{identity} {{",
                *written(entry.children, noise, depth + 1),
                "}",
            ]
            continue
        space = noise.draw(st.sampled_from([" ", "\t", "  "]))
        lines += [
            f"menuentry {quoted(entry.title)} --class debian --class os{identity} {{",
            "\tif [ x$feature_platform_search_hint = xy ]; then",
            "\t  search --no-floppy --fs-uuid --set=root 1",
            "\telse",
            "\t  search --no-floppy --fs-uuid --set=root 2",
            "\tfi",
            f"\tlinux{space}{' '.join([entry.kernel, *entry.words])}",
            "\tinitrd\t/boot/initrd.img",
            "}",
        ]
    return ["\t" * depth + line for line in lines]


def expected(menu: list[Entry], above: str = "") -> list[dict[str, Any]]:
    """The entries, as a person would read them from the parts."""
    found: list[dict[str, Any]] = []
    for entry in menu:
        path = above + (entry.identity or entry.title).replace(">", ">>")
        if entry.children is not None:
            found += expected(entry.children, f"{path}>")
            continue
        release = re.search(r"/vmlinu[xz]-(.*)", entry.kernel)
        found.append(
            {
                "id": path,
                "title": entry.title,
                "release": release.group(1) if release else None,
                "cmdline": entry.words,
            }
        )
    return found


@settings(max_examples=150)
@given(MENU, st.data())
def test_a_menu_is_read_as_it_was_put_together(menu: list[Entry], data: st.DataObject) -> None:
    found = grub.entries(grub.menu("\n".join(written(menu, data)) + "\n"))
    assert [
        {name: entry[name] for name in ("id", "title", "release", "cmdline")} for entry in found
    ] == expected(menu)


@settings(max_examples=100)
@given(
    st.lists(
        ENTRY, min_size=1, max_size=4, unique_by=(lambda entry: entry.title, lambda entry: entry.identity)
    ),
    TITLE,
    st.data(),
)
def test_the_path_of_an_entry_leads_to_it(menu: list[Entry], title: str, data: st.DataObject) -> None:
    """The first entry that has the name is taken, unless the name begins with a number."""
    nodes = grub.menu("\n".join(written([Entry(title, "sub", "", [], menu)], data)) + "\n")
    wanted = data.draw(st.sampled_from([entry["id"] for entry in grub.entries(nodes)]))
    names = [name for entry in menu for name in sorted({entry.title, entry.identity or entry.title})]
    assume(len(names) == len(set(names)))
    # `sub>>>x` is the name `sub>` to GRUB, and not `>x` within `sub`.
    assume(not re.match(r"\s*[0-9]|>", wanted.removeprefix("sub>")))
    assert grub.choose(nodes, wanted).node.path == wanted


SCRIPT = st.lists(
    st.sampled_from(
        [
            *(
                "menuentry",
                "submenu",
                "'a'",
                '"a"',
                "{",
                "}",
                "\n",
                ";",
                "if",
                "then",
                "else",
                "elif",
                "fi",
                "[",
                "]",
                "!",
            ),
            *(
                "set",
                "default=0",
                "default=${saved_entry}",
                '"${next_entry}"',
                "linux",
                "/vmlinuz-1",
                "function",
                "f",
            ),
            *(
                "load_env",
                "source",
                "$prefix/custom.cfg",
                "for",
                "in",
                "do",
                "done",
                "while",
                "'",
                '"',
                "\\",
                "#",
                "$",
                "-n",
            ),
            *("-a", "-o", "=", "test", "--id", "--id=a", "blscfg", "unset", "true", "x" * 9),
        ]
    ),
    max_size=40,
).map(" ".join)


@settings(max_examples=1000)
@given(
    st.one_of(ANY, SCRIPT),
    st.dictionaries(st.sampled_from(["saved_entry", "next_entry", "x"]), ANY, max_size=2),
)
def test_any_grub_cfg_is_read_or_refused(text: str, env: dict[str, str]) -> None:
    with contextlib.suppress(FleetopsError):
        nodes = grub.menu(text)
        grub.entries(nodes)
        grub.choose(nodes, text)
        grub.choose(nodes, text, whole_names=True)
    with contextlib.suppress(FleetopsError):
        grub.default(grub.variables(text, env))
    with contextlib.suppress(FleetopsError):
        grub.has_blscfg(text)


# --- grubenv ----------------------------------------------------------------------------------------

VARIABLES = st.dictionaries(
    KEY,
    st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=20),
)


def environment_block(variables: dict[str, str]) -> str:
    """As grub-editenv writes it (grub-core/lib/envblk.c): backslashes and line ends escaped, filled up with #."""
    text = "# GRUB Environment Block\n"
    for name, value in variables.items():
        escaped = value.replace("\\", "\\\\").replace("\n", "\\\n")
        text += f"{name}={escaped}\n"
    return text.ljust(1024, "#")


@settings(max_examples=200)
@given(VARIABLES)
def test_a_grubenv_is_read_as_it_was_written(variables: dict[str, str]) -> None:
    assert grub.environment(environment_block(variables)) == variables


@given(ANY)
def test_any_grubenv_is_read(text: str) -> None:
    for whole in (text, environment_block({}).rstrip("#") + text):
        assert all(isinstance(value, str) for value in grub.environment(whole).values())


# --- /proc/version ----------------------------------------------------------------------------------

COMPILER = st.sampled_from(
    [
        "(gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40)",
        "(x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0, GNU ld (GNU Binutils for Ubuntu) 2.42)",
        "(clang version 18.1.3 (1ubuntu1))",
    ]
)
PEOPLE = st.sampled_from(["(debian-kernel@lists.debian.org)", "(buildd@lcy02-amd64-116)", "(me@host)"])
OPTIONS = st.sampled_from(["SMP", "SMP PREEMPT_DYNAMIC", "SMP PREEMPT RT", ""])
DATE = st.sampled_from(["Thu May 23 07:48:21 UTC 2024", "Fri Jan  3 00:00:00 UTC 2025"])


@settings(max_examples=500)
@given(st.integers(1, 1200), st.integers(1, 1400), COMPILER, PEOPLE, OPTIONS, DATE, st.data())
def test_the_version_of_a_running_kernel_is_read_as_it_was_put_together(
    abi: int, upload: int, compiler: str, people: str, options: str, date: str, data: st.DataObject
) -> None:
    upstream = f"{data.draw(st.integers(4, 7))}.{data.draw(st.integers(0, 20))}"
    twin = data.draw(st.sampled_from(["", "~20.04.1", "~22.04.2"]))
    flavour = data.draw(st.sampled_from(["generic", "aws", "lowlatency-64k"]))
    ubuntu = f"Linux version {upstream}.0-{abi}-{flavour} {people} {compiler} #{upload}{twin}-Ubuntu {options} {date}\n"
    version = f"{upstream}.0-{abi}.{upload}{twin}"
    assert kernel.debian_version_of(ubuntu) == version
    signature = f"Ubuntu {version}-{flavour} {upstream}.{abi}\n"
    assert kernel.ubuntu_version_of(signature) == version
    assert kernel.ubuntu_upstream_of(signature) == f"{upstream}.{abi}"
    version = (
        f"{upstream}.{abi}-{upload}{data.draw(st.sampled_from(['', '~deb12u1', '~bpo12+1', '+deb12u1']))}"
    )
    debians = f"Linux version {upstream}.0-{abi}-amd64 {people} {compiler} #1 {options} Debian {version} (2026-07-02)"
    assert kernel.debian_version_of(debians) == version
    own = f"Linux version {upstream}.{abi}-own {people} {compiler} #{upload} {options} {date}\n"
    assert kernel.debian_version_of(own) is None


@given(ANY)
def test_any_version_is_read_or_is_none(text: str) -> None:
    for whole in (text, f"Linux version {text}", f"Linux version 6.1.0-47-amd64 #{text}", f"Ubuntu {text}"):
        for read in (kernel.debian_version_of, kernel.ubuntu_version_of, kernel.ubuntu_upstream_of):
            found = read(whole)
            assert found is None or found in whole.replace(" ", "").replace("-amd64#", ".")


# --- os-release -------------------------------------------------------------------------------------

VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=16)


def shell_word(value: str, form: str) -> str:
    """os-release(5): bare where it can be, else in quotes, with a backslash before what is special in them."""
    if form == "bare" and re.fullmatch(r"[A-Za-z0-9._-]*", value):
        return value
    if form == "single" and "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'([$`"\\])', r"\\\1", value) + '"'


@settings(max_examples=500)
@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Z][A-Z0-9_]{0,8}\Z"),
        st.tuples(VALUE, st.sampled_from(["bare", "single", "double"])),
    )
)
def test_an_os_release_is_read_as_it_was_written(values: dict[str, tuple[str, str]]) -> None:
    text = "# a comment\n\n" + "".join(f"{name}={shell_word(*value)}\n" for name, value in values.items())
    assert kdump.shell_assignments(text) == {name: value for name, (value, _form) in values.items()}


@settings(max_examples=300)
@given(ANY, ANY)
def test_any_file_of_a_shell_is_read(name: str, text: str) -> None:
    for whole in (text, f"ID={text}", f"{name}={text}\nID=x"):
        assert all(isinstance(value, str) for value in kdump.shell_assignments(whole).values())
        with contextlib.suppress(FleetopsError):
            assert kdump.shell_assignments(shellvar.assign(whole, "ID", "y"))["ID"] == "y"
    with contextlib.suppress(FleetopsError):
        kdump.kexec_command(text)


# --- dpkg's status ----------------------------------------------------------------------------------

STATES = ["not-installed", "config-files", "half-installed", "unpacked", "half-configured", "installed"]
DPKG_NAME = st.sampled_from(
    ["linux-image-", "linux-modules-", "linux-headers-", "kdump-tools", "bash", "linux-"]
)
PACKAGE = st.fixed_dictionaries(
    {
        "name": st.builds(lambda name, word: name + word if name[-1] == "-" else name, DPKG_NAME, WORD),
        "version": st.from_regex(r"\A(?:[1-9]:)?[1-9]\.[0-9]{1,3}-[1-9](?:~deb12u1)?\Z"),
        "source": st.none() | st.builds("linux-{}".format, WORD),
        "source_version": st.none() | st.from_regex(r"\A[1-9]\.[0-9]-[1-9]\Z"),
        "want": st.sampled_from(["install", "hold", "deinstall", "purge"]),
        "error": st.sampled_from(["ok", "ok", "ok", "reinstreq"]),
        "state": st.sampled_from(STATES),
        "depends": st.none() | st.lists(WORD, min_size=1, max_size=3).map(", ".join),
        "text": st.sampled_from(["one line", "two lines\n of text", "a blank one\n .\n Package: bash"]),
    }
)


SHOWN = ("name", "version", "source", "source_version", "status")


def status_file(packages: list[dict[str, Any]]) -> str:
    """As dpkg writes it (lib/dpkg/dump.c)."""
    blocks = []
    for package in packages:
        lines = [
            f"Package: {package['name']}",
            f"Status: {package['want']} {package['error']} {package['state']}",
        ]
        lines += [
            "Priority: optional",
            "Section: kernel",
            "Maintainer: A <a@example.org>",
            "Architecture: amd64",
        ]
        if package["source"]:
            tail = f" ({package['source_version']})" if package["source_version"] else ""
            lines.append(f"Source: {package['source']}{tail}")
        if package["state"] != "not-installed":
            lines.append(f"Version: {package['version']}")
        if package["state"] == "config-files":
            lines.append(f"Config-Version: {package['version']}")
        if package["depends"]:
            lines.append(f"Depends: {package['depends']}")
        lines.append(f"Description: {package['text']}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(packages=st.lists(PACKAGE, max_size=12, unique_by=lambda package: package["name"]))
def test_dpkg_s_status_is_read_as_dpkg_reads_it(tmp_path: Path, packages: list[dict[str, Any]]) -> None:
    """The other reader is dpkg-query itself, on the same file."""
    root = tmp_path / "disk"
    shutil.rmtree(root, ignore_errors=True)
    database = root / "var/lib/dpkg"
    (database / "info").mkdir(parents=True)
    (database / "updates").mkdir()
    (database / "status").write_text(status_file(packages))
    show = "${Package}\t${Version}\t${source:Package}\t${source:Version}\t${db:Status-Abbrev}\n"
    done = subprocess.run(
        ["dpkg-query", f"--admindir={database}", "--show", f"--showformat={show}", "*"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not packages, done.stderr
    said = [line.split("\t") for line in done.stdout.splitlines()]
    wanted = [
        dict(zip(SHOWN, [*fields, status.strip()], strict=True))
        for *fields, status in said
        # One that is not there is no more than a name, unless it is held.
        if (fields[1] or status.startswith("h"))
        and (fields[0].startswith("linux-") or fields[0] == "kdump-tools")
    ]
    found = [
        {name: value for name, value in package.items() if name in SHOWN}
        for package in debian.packages(Host(str(root)))
    ]
    assert sorted(found, key=lambda package: str(package["name"])) == wanted


@given(ANY, st.lists(PACKAGE, max_size=3), st.data())
def test_any_status_of_dpkg_is_read_or_refused(
    text: str, packages: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = status_file(packages)
    at = data.draw(st.integers(0, len(whole)))
    broken = whole[:at] + text + whole[at + data.draw(st.integers(0, 20)) :]
    for one in (text, broken, f"Package: linux-{text}\nStatus: {text}\nVersion: {text}"):
        fields = dpkg.blocks(one, ["linux-*", "kdump-tools"])
        with contextlib.suppress(FleetopsError):
            dpkg.packages(fields)


# --- all of them, through the readers ---------------------------------------------------------------

SOURCES = [
    "proc/cmdline",
    "proc/version",
    "proc/sys/kernel/osrelease",
    "etc/os-release",
    "boot/grub/grub.cfg",
    "boot/grub/grubenv",
    "etc/default/kdump-tools",
    "var/crash/kexec_cmd",
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(HOSTS / "debian-6.1-clean", tmp_path_factory.mktemp("fuzz") / "host"))


@settings(max_examples=150)
@given(
    source=st.sampled_from(SOURCES),
    junk=st.one_of(st.binary(max_size=40), ANY.map(str.encode)),
    data=st.data(),
)
def test_a_source_that_is_broken_sinks_no_reading(
    tree: Path, source: str, junk: bytes, data: st.DataObject
) -> None:
    path = tree / source
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    try:
        path.write_bytes(whole[:at] + junk + whole[at + data.draw(st.integers(0, len(whole) - at)) :])
        host = Host(str(tree))
        kernel_reader.read(host)
        kdump_reader.read(host)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "junk",
    [b"", b"\0", b"\xff" * 9, b"'", b"x" * (bounds.SHELL_FILE + 1)],
    ids=["none", "nul", "no text", "quote", "long"],
)
def test_a_source_of_nothing_but_junk_sinks_no_reading(tree: Path, source: str, junk: bytes) -> None:
    path = tree / source
    whole = path.read_bytes()
    try:
        path.write_bytes(junk)
        facts = kernel_reader.read(Host(str(tree)))
        kdump_reader.read(Host(str(tree)))
    finally:
        path.write_bytes(whole)
    # What the others say is still there, and a lie is not told in the place of what is broken.
    assert facts["boot_id"]
    if source == "boot/grub/grub.cfg":
        assert facts["next_boot"] is None
        assert facts["unknown"]["next_boot"]


# --- too much ---------------------------------------------------------------------------------------

MUCH = [
    pytest.param(cmdline.parse, "a " * bounds.COMMAND_LINE, bounds.COMMAND_LINE, id="command line"),
    pytest.param(crashkernel.parse, "1-2:3," * bounds.PARAMETER, bounds.PARAMETER, id="crashkernel"),
    pytest.param(kdump.shell_assignments, "A=1\n" * bounds.SHELL_FILE, bounds.SHELL_FILE, id="os-release"),
    pytest.param(kdump.kexec_command, "a " * bounds.COMMAND, bounds.COMMAND, id="kexec"),
    pytest.param(
        lambda text: shellvar.assign(text, "A", "1"),
        "B=1\n" * bounds.SHELL_FILE,
        bounds.SHELL_FILE,
        id="shellvar",
    ),
    pytest.param(
        grub.menu, "set a=1\n" * grubscript.MOST_CHARACTERS, grubscript.MOST_CHARACTERS, id="grub.cfg"
    ),
]


@pytest.mark.parametrize(("read", "text", "limit"), MUCH)
def test_more_than_any_real_source_has_is_refused_by_the_limit(
    read: Callable[[str], object], text: str, limit: int
) -> None:
    with pytest.raises(FleetopsError, match=str(limit)):
        read(text)


def test_no_file_is_read_without_a_limit(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as large:
        large.truncate(LARGEST + 1)
    with pytest.raises(FleetopsError, match=str(LARGEST)):
        Host(str(tmp_path)).read("/large")


SIGN, VERSION, ENVIRONMENT = "Ubuntu 1", "Linux version 1 #", "# GRUB Environment Block\n"


@pytest.mark.parametrize(
    ("read", "head", "piece"),
    [
        *((cmdline.parse, "", piece) for piece in ("a", '"', 'a"" ', "-- ", 'a="')),
        *(
            (kdump.shell_assignments, head, piece)
            for head in ("", 'A="')
            for piece in ("A='\n", "\\", "A=\\a", "\t", "A=''\n")
        ),
        *(
            (lambda text: shellvar.assign(text, "A", "1"), head, piece)
            for head in ("", 'A="')
            for piece in ("A='\n", "#A=\n", "\t")
        ),
        *(
            (kernel.debian_version_of, VERSION, piece)
            for piece in ("Debian 1", " #", "Debian 1 (", "1-Ubuntu")
        ),
        *((kernel.ubuntu_version_of, SIGN, piece) for piece in ("Ubuntu 1-a", "-a", "1")),
        *((grub.environment, ENVIRONMENT, piece) for piece in ("a=\\\n", "a", "a=1\n", "\\")),
        *(
            (lambda text: dpkg.packages(dpkg.blocks(text, ["linux-*"])), "Package: linux-a\n", piece)
            for piece in ("Package: linux-a\n", "\n", "Source: (", "a")
        ),
    ],
)
def test_as_much_as_is_taken_is_read_in_one_go(read: Callable[[str], object], head: str, piece: str) -> None:
    """Of one thing over and over: what takes quadratic time here does not end while anybody waits."""
    with contextlib.suppress(FleetopsError):
        read(head + piece * ((bounds.SHELL_FILE - len(head)) // len(piece)))
