# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import rpm

EL9 = "5.14.0-570.35.1.el9_6"


def row(name: str, version: str = EL9, size: str = "1", arch: str = "x86_64", epoch: str = "0") -> str:
    upstream, release = version.split("-")
    return "\t".join([name, epoch, upstream, release, arch, f"kernel-{version}.src.rpm", size]) + "\n"


@pytest.mark.parametrize(
    ("name", "version", "arch", "release"),
    [
        ("kernel-core", EL9, "x86_64", f"{EL9}.x86_64"),
        ("kernel-core", EL9, "aarch64", f"{EL9}.aarch64"),
        ("kernel-rt-core", EL9, "x86_64", f"{EL9}.x86_64+rt"),
        ("kernel-64k-core", EL9, "aarch64", f"{EL9}.aarch64+64k"),
        ("kernel-debug-core", EL9, "x86_64", f"{EL9}.x86_64+debug"),
        ("kernel-64k-debug-core", EL9, "aarch64", f"{EL9}.aarch64+64k-debug"),
        # RHEL 8 has its own source for it
        ("kernel-rt-core", "4.18.0-553.5.1.rt7.346.el8_10", "x86_64", "4.18.0-553.5.1.rt7.346.el8_10.x86_64"),
        (
            "kernel-rt-debug-core",
            "4.18.0-553.5.1.rt7.346.el8_10",
            "x86_64",
            "4.18.0-553.5.1.rt7.346.el8_10.x86_64+debug",
        ),
        ("kernel-uek-core", "5.15.0-302.167.6.el9uek", "x86_64", "5.15.0-302.167.6.el9uek.x86_64"),
        ("kernel", "5.10.0-216.0.0.115.oe2203sp4", "x86_64", "5.10.0-216.0.0.115.oe2203sp4.x86_64"),
    ],
)
def test_the_release_of_an_image_and_its_exact_name(name: str, version: str, arch: str, release: str) -> None:
    (package,) = rpm.packages(row(name, version, arch=arch))
    assert package["release"] == release
    exact = f"{name}-{version}.{arch}"
    assert rpm.exact_name(package) == exact
    assert rpm.release_named(exact) == release
    assert rpm.kernel_package(release) == exact


@pytest.mark.parametrize(
    "name",
    [
        "kernel-modules",
        "kernel-modules-core",
        "kernel-modules-extra",
        "kernel-rt-modules",
        "kernel-devel",
        "kernel-headers",
        "kernel-tools",
        "kernel-tools-libs",
        "kernel-srpm-macros",
        "kernel-64k-devel",
        "kernel-devel-matched",
        "kmod-kvdo",
        "kexec-tools",
    ],
)
def test_other_packages_bring_no_kernel(name: str) -> None:
    (package,) = rpm.packages(row(name))
    assert "release" not in package
    assert "needs" not in package
    assert rpm.release_named(f"{name}-{EL9}.x86_64") is None


def test_a_package_without_files_only_pulls_in_the_core() -> None:
    (kernel, real_time) = rpm.packages(row("kernel", size="0") + row("kernel-rt", size="0"))
    assert (kernel.get("release"), kernel["needs"]) == (None, ["kernel-core"])
    assert (real_time.get("release"), real_time["needs"]) == (None, ["kernel-rt-core"])


def test_the_parts_of_a_row() -> None:
    (package,) = rpm.packages(row("kernel-core", epoch="1"))
    assert dict(package) == {
        "name": "kernel-core",
        "version": f"1:{EL9}",
        "source": "kernel",
        "source_version": EL9,
        "status": "ii",
        "release": f"{EL9}.x86_64",
    }
    assert rpm.exact_name(package) == f"kernel-core-{EL9}.x86_64"
    (plain,) = rpm.packages("kexec-tools\t0\t2.0.29\t5.el9\tx86_64\t(none)\t9\n")
    assert (plain["source"], plain["source_version"]) == ("kexec-tools", "2.0.29-5.el9")
    assert rpm.exact_name(plain) == "kexec-tools-2.0.29-5.el9"


@pytest.mark.parametrize("text", ["package kernel is not installed\n", "a\tb\n"])
def test_what_rpm_does_not_say_in_rows_is_an_error(text: str) -> None:
    with pytest.raises(FleetopsError, match="rpm said"):
        rpm.packages(text)


@pytest.mark.parametrize("release", ["6.1.0-47-amd64", "5.15.0-112-generic", "", "5.14.0"])
def test_a_release_of_others_has_no_package(release: str) -> None:
    with pytest.raises(FleetopsError, match="not spelt as rpm's kernels"):
        rpm.kernel_package(release)


def test_a_kernel_is_installed_with_its_modules() -> None:
    assert rpm.with_modules(f"{EL9}.x86_64+rt") == [
        f"kernel-rt-core-{EL9}.x86_64",
        f"kernel-rt-modules-{EL9}.x86_64",
    ]
    whole = "5.10.0-216.0.0.115.oe2203sp4.x86_64"
    assert rpm.with_modules(whole) == [f"kernel-{whole}"]
    for release in (f"{EL9}.x86_64", f"{EL9}.x86_64+rt", whole):
        assert [rpm.is_modules(name) for name in rpm.with_modules(release)] == [False, True][
            : 1 + (release != whole)
        ]
    assert not rpm.is_modules("kernel-modules")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("kmod-nvidia-550.90.07-5.14.0-570.35.1", ["nvidia"]),
        (f"kmod-nvidia-{EL9}.x86_64", ["nvidia"]),
        ("kmod-nvidia-open-570.133.20-5.14.0-570.35.1", ["nvidia-open"]),
        ("kmod-nvidia-550.90.07-5.14.0-570.33.1", None),
        ("kmod-nvidia-550.90.07-5.14.0-570.3", None),
        ("kmod-mlnx-ofa_kernel", None),  # for all kernels of a series
        ("kmod-" + "a" * 100_000, None),
    ],
)
def test_modules_of_vendors(name: str, found: list[str] | None) -> None:
    release = f"{EL9}.x86_64"
    assert rpm.prebuilt(["kmod-kvdo", name], [release, "5.14.0-1.el9.x86_64"]) == (
        {release: found} if found else {}
    )


# --- holds -------------------------------------------------------------------------------------------

NAMES = ["kernel", "kernel-core", "kernel-modules"]


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ("kernel-core-0:5.14.0-570.33.1.el9_6.*", ["kernel-core"]),
        ("kernel-0:5.14.0-570.33.1.el9_6.x86_64", ["kernel"]),
        ("kernel-5.14.0-570.33.1.el9_6", ["kernel"]),
        ("kernel", ["kernel"]),
        ("kernel*", ["kernel*"]),
        ("*", ["*"]),
        ("!kernel-core-0:5.14.0-570.35.1.el9_6.*", ["!kernel-core-0:5.14.0-570.35.1.el9_6.*"]),
        ("kernel-64k-core-0:5.14.0-570.33.1.el9_6.*", []),  # which is not installed
        ("kernel-tools-0:5.14.0-570.33.1.el9_6.*", []),
        ("bash-0:5.1.8-9.el9.*", []),
    ],
)
def test_entries_of_versionlock(entry: str, held: list[str]) -> None:
    text = f"# Added lock on Mon Nov 24\n\n{entry}\n"
    assert rpm.holds(rpm.locked(text), NAMES) == held


def test_locks_of_dnf5() -> None:
    text = (
        'version = "1.0"\n\n[[packages]]\nname = "kernel-core"\ncomment = "x"\n'
        '[[packages.conditions]]\nkey = "evr"\ncomparator = "="\nvalue = "5.14.0-570.33.1.el9_6"\n'
        "[[packages]]\nname = 'bash'\n# name = 'kernel'\n"
    )
    assert rpm.locked_by_dnf5(text) == ["kernel-core", "bash"]


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("[main]\nexclude=kernel*\n", ["kernel*"]),
        (
            "[main]\nexcludepkgs = kernel*, redhat-release*\n   other\n",
            ["kernel*", "redhat-release*", "other"],
        ),
        ("[main]\nexclude=a\nexcludepkgs=b\n", ["a", "b"]),
        ("[main]\n#exclude=kernel*\ngpgcheck=1\n", []),
        ("[other]\nexclude=kernel*\n", []),
        ("", []),
        ("[main]\nexclude=%kernel\n", ["%kernel"]),
    ],
)
def test_what_dnf_excludes(text: str, patterns: list[str]) -> None:
    assert rpm.excluded(text) == patterns


def test_a_file_that_is_no_dnf_conf_is_an_error() -> None:
    with pytest.raises(FleetopsError, match=r"not in the form of a dnf\.conf"):
        rpm.excluded("exclude=kernel*\n")
