"""Command lines as runc, crun, youki and unknown runtimes read them. Each row names the rule of that runtime that it holds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdi_hook.oci import arguments

Row = tuple[str, str, str, list[tuple[str, str, str, str, str]], str]

NOTHING = ("", "", "", "", "")


def create(
    bundle: str = "", config: str = "", log: str = "", log_format: str = "", subcommand: str = "create"
) -> tuple[str, str, str, str, str]:
    return subcommand, bundle, config, log, log_format


ENGINES: list[Row] = [
    (
        "containerd",
        family,
        "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --no-new-keyring c1",
        [create("/b", log="/l", log_format="json")],
        "",
    )
    for family in ("runc", "crun", "youki", "")
] + [
    ("cri-o", "runc", "--root=/r create --bundle /b --pid-file /p --console-socket /s c1", [create("/b")], ""),
    (
        "podman",
        "crun",
        "--log-format=json --log /l create --bundle /b --pid-file /p --preserve-fds 3 c1",
        [create("/b", "", "/l", "json")],
        "",
    ),
    ("kill", "runc", "--root /r --log /l --log-format json kill --all c1 9", [("kill", "", "", "/l", "json")], ""),
    ("version", "runc", "--version", [NOTHING], ""),
    ("docker's criu", "runc", "--criu /usr/bin/criu create --bundle /b c1", [create("/b")], ""),
]

ANY_FAMILY = ("runc", "crun", "youki", "")
COMMON: list[Row] = [
    (f"{name}, {family or 'unknown'}", family, argv, readings, "")
    for family in ANY_FAMILY
    for name, argv, readings in [
        ("value after a space", "create --bundle /b c1", [create("/b")]),
        ("value after =", "create --bundle=/b c1", [create("/b")]),
        ("short", "create -b /b c1", [create("/b")]),
        ("no bundle", "create c1", [create()]),
        ("last bundle wins", "create --bundle /a -b /b c1", [create("/b")]),
        ("a log called run", "--log run state c1", [("state", "", "", "run", "")]),
        ("a log called create", "--log create kill create", [("kill", "", "", "create", "")]),
        ("a container called create", "create --bundle /b create", [create("/b")]),
        ("a container called run", "start run", [("start", "", "", "", "")]),
        ("a bundle called --", "create --bundle -- c1", [create("--")]),
        ("-- before the id", "create --bundle /b -- c1", [create("/b")]),
        ("nothing is an option after --", "create -- --bundle /b", [create()]),
        ("-- before the subcommand", "-- create --bundle /b c1", [create("/b")]),
        ("run", "run --detach --bundle /b c1", [create("/b", subcommand="run")]),
        ("restore", "restore --image-path /i --bundle /b --work-path /w c1", [create("/b", subcommand="restore")]),
        ("exec's options are not ours", "exec --process create c1", [("exec", "", "", "", "")]),
        ("empty bundle", "create --bundle= c1", [create()]),
        ("value missing", "create --bundle", [create()]),
        ("help creates nothing", "create --help --bundle /b", [NOTHING]),
        ("no subcommand", "--root /r", [NOTHING]),
        ("nothing at all", "", [NOTHING]),
    ]
]

OWN: list[Row] = [
    ("one dash", "runc", "-log /l create -bundle /b c1", [create("/b", log="/l")], ""),
    ("one dash, =", "runc", "create -bundle=/b c1", [create("/b")], ""),
    ("two dashes, short", "runc", "create --b /b c1", [create("/b")], ""),
    ("-b=", "runc", "create -b=/b c1", [create("/b")], ""),
    ("flag=false", "runc", "--debug=false create --no-pivot=false --bundle /b c1", [create("/b")], ""),
    ("options after the id", "runc", "create c1 --bundle /b", [create("/b")], ""),
    (
        "main: global options after the subcommand",
        "runc",
        "create --log /l --log-format=json --bundle /b c1",
        [create("/b", "", "/l", "json")],
        "",
    ),
    ("main: the later log wins", "runc", "--log /l create --log /m --bundle /b c1", [create("/b", log="/m")], ""),
    ("main: -1 ends the options", "runc", "create -1 --bundle /b", [create()], ""),
    ("main: - ends them, releases go on", "runc", "create --pid-file /p - --bundle /b", [create("/b"), create()], "-"),
    ("no abbreviation", "runc", "create --bun /b c1", [create()], "--bun"),
    ("no group", "runc", "run -db /b c1", [create(subcommand="run")], "-db"),
    ("no -bDIR", "runc", "create -b/b c1", [create()], "-b/b"),
    ("no --config", "runc", "create --config /f --bundle /b c1", [create("/b")], "--config"),
    ("-v is the version", "runc", "-v create", [NOTHING], ""),
    ("abbreviation", "crun", "create --bun /b c1", [create("/b")], ""),
    ("abbreviation, =", "crun", "create --b=/b c1", [create("/b")], ""),
    (
        "abbreviated globals",
        "crun",
        "--roo /r --log-f json --log-l debug --cg systemd create --bundle /b c1",
        [create("/b", "", "", "json")],
        "",
    ),
    ("exact beats prefix", "crun", "--log /l create --bundle /b c1", [create("/b", log="/l")], ""),
    ("hidden: --program-name", "crun", "--pro create create --bundle /b c1", [create("/b")], ""),
    ("hidden: --HANG takes none", "crun", "--HANG create --bundle /b c1", [create("/b")], ""),
    ("hidden: --HANG=", "crun", "--HANG=3 create --bundle /b c1", [create("/b")], ""),
    ("candidates agree: all take a value", "crun", "create --p create --bundle /b c1", [create("/b")], ""),
    ("candidates agree: all flags", "crun", "create --no- --bundle /b c1", [create("/b")], ""),
    ("candidates agree, but which log", "crun", "--log- json create --bundle /b c1", [create("/b")], ""),
    ("config or console-socket", "crun", "create --con /x --bundle /b c1", [create("/b", "/x"), create("/b")], "--con"),
    ("restore knows no config", "crun", "restore --con /x --bundle /b c1", [create("/b", subcommand="restore")], ""),
    ("--config", "crun", "create --config /f --bundle /b c1", [create("/b", "/f")], ""),
    ("-f", "crun", "run -f /f -b /b c1", [create("/b", "/f", subcommand="run")], ""),
    ("-bDIR", "crun", "create -b/b c1", [create("/b")], ""),
    ("-b=DIR means =DIR", "crun", "create -b=/b c1", [create("=/b")], ""),
    ("group", "crun", "run -db /b c1", [create("/b", subcommand="run")], ""),
    ("group with the value in it", "crun", "run -df/f -db/b c1", [create("/b", "/f", subcommand="run")], ""),
    ("one dash is a group", "crun", "create -bundle /b c1", [create("undle")], ""),
    ("the id ends the options", "crun", "create c1 --bundle /b", [create()], ""),
    ("no globals after the subcommand", "crun", "create --log /l --bundle /b c1", [create("/b"), create()], "--log"),
    (
        "--network-lock takes the next word",
        "crun",
        "restore --network-lock skip --bundle /b c1",
        [create("/b", subcommand="restore")],
        "",
    ),
    ("-V is the version", "crun", "-V create", [NOTHING], ""),
    ("abbreviated version", "crun", "--vers create", [NOTHING], ""),
    ("-? in a group", "crun", "run -d? --bundle /b c1", [NOTHING], ""),
    ("-bDIR", "youki", "create -b/b c1", [create("/b")], ""),
    ("-b=DIR", "youki", "create -b=/b c1", [create("/b")], ""),
    ("group", "youki", "-sl /l run -dp /p -db=/b c1", [create("/b", log="/l", subcommand="run")], ""),
    ("options after the id", "youki", "create c1 -b /b", [create("/b")], ""),
    ("no abbreviation", "youki", "create --bun=/b c1", [create()], ""),
    ("no --b", "youki", "create --b /b c1", [create()], "--b"),
    ("one dash, as runc", "", "create -bundle /b c1", [create("/b")], ""),
    ("-bDIR, as crun", "", "create -b/b c1", [create("/b")], ""),
    ("abbreviation, as crun, or a flag", "", "create --bun /b c1", [create("/b"), create()], "--bun"),
    ("--cgroup-manager, as crun", "", "--cgroup-manager create kill c1", [("kill", "", "", "", "")], ""),
    ("-v may be verbose", "", "-v create --bundle /b c1", [create("/b")], ""),
]

DOUBT: list[Row] = [
    ("flag, or the next word is its value", "runc", "--x create kill c1", [create(), ("kill", "", "", "", "")], "--x"),
    ("neither reading creates", "runc", "--x state kill c1", [("state", "", "", "", ""), ("kill", "", "", "", "")], "--x"),
    ("the readings agree", "runc", "create --x y --bundle /b c1", [create("/b")], "--x"),
    ("it may swallow --bundle", "crun", "create --x --bundle /b c1", [create("/b"), create()], "--x"),
    ("the first one is named", "youki", "--x create --y /b c1", [create(), ("/b", "", "", "", ""), ("c1", "", "", "", "")], "--x"),
    ("an inline value leaves no doubt", "crun", "--x=create create --bundle /b c1", [create("/b")], ""),
    ("an unknown letter", "crun", "create -Z /b --bundle /b c1", [create(), create("/b")], "-Z"),
]


@pytest.mark.parametrize(
    ("family", "argv", "readings", "doubt"),
    [row[1:] for row in ENGINES + COMMON + OWN + DOUBT],
    ids=[f"{row[1] or 'unknown'}: {row[0]}" for row in ENGINES + COMMON + OWN + DOUBT],
)
def test_readings(family: str, argv: str, readings: list[tuple[str, str, str, str, str]], doubt: str) -> None:
    assert sorted(arguments.readings(argv.split(), family)) == sorted(readings)
    assert arguments.unknown_option(argv.split(), family) == doubt


def test_many_unknown_options_stay_cheap() -> None:
    """Two readings an option would be 2**60; equal states are walked once."""
    argv = [f"--x{n}" for n in range(60)] + ["create", "--bundle", "/b", "c1"]
    found = arguments.readings(argv, "runc")
    assert create("/b") in found
    assert len(found) < 100


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("runc", None, "runc"),
        ("crun", None, "crun"),
        ("krun", None, "crun"),
        ("youki", None, "youki"),
        ("kata-runtime", None, ""),
        ("crun-wasm", "crun", "crun"),
        ("oci", "/nowhere/runc", "runc"),
        ("runc", "crun", "runc"),
        ("loop", "loop", ""),
    ],
)
def test_family(tmp_path: Path, name: str, target: str | None, expected: str) -> None:
    """The name first, then what it links to, whether that exists or not."""
    runtime = tmp_path / name
    if target:
        runtime.symlink_to(target)
    assert arguments.family(str(runtime)) == expected


def test_family_of_a_chain(tmp_path: Path) -> None:
    """As Debian's alternatives link: /usr/bin/x -> /etc/alternatives/x -> /usr/bin/crun."""
    (tmp_path / "b").symlink_to("../bin/crun")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert arguments.family(str(tmp_path / "a")) == "crun"


def test_family_without_directory() -> None:
    assert arguments.family("runc") == "runc"
    assert arguments.family("") == ""


def test_rows_name_no_option_twice() -> None:
    for rows in arguments.FAMILIES.values():
        assert list(rows) == ["", *arguments.CREATES]
        for takes, flags in rows.values():
            names = takes.split() + flags.split()
            assert len(names) == len(set(names))


def test_families_agree_about_every_name() -> None:
    """One name never takes a value in one family and none in another: so an unknown runtime's rows are simply all of them."""
    for where in ("", *arguments.CREATES):
        takes = {name for rows in arguments.FAMILIES.values() for name in rows[where][0].split()}
        flags = {name for rows in arguments.FAMILIES.values() for name in rows[where][1].split()}
        assert not takes & flags


NAMES = sorted({name for rows in arguments.FAMILIES.values() for row in rows.values() for names in row for name in names.split()})
WORDS = [dashes + name + tail for name in NAMES for dashes in ("-", "--") for tail in ("", "=/v")]
WORDS += ["create", "run", "restore", "kill", "c1", "-", "--", "", "-1", "/b", "--bun", "--c", "-dbx", "--x", "-Z", "---", "-="]


@given(st.lists(st.sampled_from(WORDS), max_size=8), st.sampled_from(["runc", "crun", "youki", ""]))
def test_any_words_give_a_reading(argv: list[str], family: str) -> None:
    """No input raises; there is always a reading, none twice, each made of the words given, and doubt names one of them."""
    found = arguments.readings(argv, family)
    assert found
    assert len(found) == len(set(found))
    doubt = arguments.unknown_option(argv, family)
    assert (doubt in argv) if len(found) > 1 else True
    for subcommand, *values in found:
        assert subcommand == "" or subcommand in argv
        assert all(value == "" or any(value in word for word in argv) for value in values)
        assert subcommand in arguments.CREATES or values[:2] == ["", ""]


@given(st.lists(st.sampled_from(["--root", "/r", "--log=/l", "--debug", "--systemd-cgroup", "--log-format", "json"]), max_size=5))
def test_what_all_families_know_reads_alike(words: list[str]) -> None:
    argv = [*words, "create", "--bundle", "/b", "c1"]
    for one, other in itertools.combinations(["runc", "crun", "youki", ""], 2):
        assert arguments.readings(argv, one) == arguments.readings(argv, other)
