"""What all commands have in common: the table, usage, exit status, and that no traceback gets out."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cdi_hook
from cdi_hook import __main__ as switchboard
from cdi_hook.cli import devices
from cdi_hook.cli import main as tool
from cdi_hook.errors import CdiError, FaultsError
from tests.unit.cli.conftest import Run

ROOT = Path(__file__).parents[3]


def test_the_help_lists_every_command(run: Run) -> None:
    done = run("--help")
    assert (done.status, done.err) == (0, "")
    for name in [*tool.COMMANDS, *tool.ENTRY_POINTS]:
        assert re.search(rf"^    {name}\b", done.out, re.MULTILINE), name


def test_the_version(run: Run) -> None:
    assert run("--version").out == f"cdi-hook {cdi_hook.__version__}\n"


@pytest.mark.parametrize("name", tool.COMMANDS)
def test_every_command_is_there_and_has_help(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: cdi-hook {name} ")


USAGE: list[tuple[str, list[str], str]] = [
    ("nothing", [], "cdi-hook: which command? cdi-hook --help lists them\n"),
    ("no command", ["frobnicate"], "cdi-hook: no command frobnicate; cdi-hook --help lists them\n"),
    ("a misspelt command", ["device"], "cdi-hook: no command device; do you mean devices? cdi-hook --help lists them\n"),
    (
        "a misspelt hook",
        ["createruntime"],
        "cdi-hook: no command createruntime; do you mean createRuntime? cdi-hook --help lists them\n",
    ),
    ("an option first", ["--format"], "cdi-hook: no option --format before the command; cdi-hook --help shows them\n"),
    ("control characters", ["a\nb"], "cdi-hook: no command a\\nb; cdi-hook --help lists them\n"),
]


@pytest.mark.parametrize(("argv", "message"), [row[1:] for row in USAGE], ids=[row[0] for row in USAGE])
def test_wrong_usage(run: Run, argv: list[str], message: str) -> None:
    done = run(*argv)
    assert (done.status, done.out, done.err) == (2, "", message)


@pytest.mark.parametrize("argv", [["devices", "--frobnicate"], ["inject"], ["devices", "--format", "xml"], ["inject", "--spec"]])
def test_wrong_usage_of_a_command(run: Run, argv: list[str]) -> None:
    done = run(*argv)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"usage: cdi-hook {argv[0]} ")


@pytest.mark.parametrize("name", ["inject", "explain"])
def test_only_what_is_missing_is_called_missing(run: Run, name: str) -> None:
    assert run(name).err.endswith(f"cdi-hook {name}: error: the following arguments are required: CONFIG\n")


def test_options_and_names_may_be_mixed(run: Run, host: Path) -> None:
    (host / "config.json").write_text("{}")
    done = run("inject", "config.json", "--spec-dir", host / "specs", "acme.com/gpu=0", "-o", "out.json", "acme.com/gpu=1")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert json.loads((host / "out.json").read_text()) == {"process": {"env": ["DEVICE_0=", "DEVICE_1="]}}


# --- the end of a command


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(devices, "run", fail)


ENDS: list[tuple[str, BaseException, int, str]] = [
    ("one fault", CdiError("is bad", file="/f", line=3, fix="mend it"), 1, "cdi-hook: /f:3: is bad; mend it\n"),
    ("several faults, one a line", FaultsError([CdiError("a"), CdiError("b")]), 1, "cdi-hook: a\ncdi-hook: b\n"),
    ("the user's interrupt", KeyboardInterrupt(), 130, ""),
    ("what the kernel says", FileNotFoundError(2, "No such file", "/f"), 1, "cdi-hook: /f: does not exist\n"),
    ("what the kernel says of nothing", OSError(28, "No space left"), 1, "cdi-hook: the disk is full\n"),
    ("a deep input", RecursionError(), 1, "cdi-hook: the input is nested too deeply\n"),
    ("a bug", KeyError("x"), 1, "cdi-hook: internal error, please report it: KeyError: 'x'\n"),
]


@pytest.mark.parametrize(("error", "status", "message"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_how_a_command_fails(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, message: str) -> None:
    failing(monkeypatch, error)
    done = run("devices")
    assert (done.status, done.out, done.err) == (status, "", message)


def test_the_traceback_of_a_bug_goes_to_the_log_at_level_debug(run: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("x"))
    (host / "config.yaml").write_text(f"log:\n  file: {host}/log\n  level: debug\n")
    assert run("devices").err == "cdi-hook: internal error, please report it: KeyError: 'x'\n"
    line = json.loads((host / "log").read_text())
    assert (line["level"], line["msg"]) == ("debug", "internal error")
    assert line["exc_info"].startswith("Traceback")


def test_without_a_log_it_is_printed_at_level_debug(run: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("x"))
    (host / "config.yaml").write_text("log:\n  level: debug\n")
    assert run("devices").err.startswith("cdi-hook: internal error, please report it: KeyError: 'x'\nTraceback")


def test_a_command_that_is_missing_leaves_the_others_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cdi_hook.cli.specs", None)
    done = run("specs")
    assert (done.status, done.err) == (1, "cdi-hook: the command specs is not in this installation; install it again\n")
    assert run("devices").status == 0
    assert run("--help").status == 0


def test_a_dependency_that_is_missing_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'shtab'", name="shtab")

    monkeypatch.setattr("importlib.import_module", missing)
    done = run("configure")
    assert (done.status, done.err) == (
        1,
        "cdi-hook: the Python package shtab is missing; install cdi-hook again, with its dependencies\n",
    )


def python(*argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cdi_hook", *argv]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **more)


def test_as_a_module() -> None:
    done = python("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cdi-hook {cdi_hook.__version__}\n", "")


def test_whoever_closes_the_pipe_hears_nothing() -> None:
    code = f"{sys.executable} -m cdi_hook settings --page | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


CLOSED: list[tuple[str, str, str, int]] = [
    ("no standard output", "devices >&-", "", 0),
    ("no standard error: a complaint does not go to standard output", "frobnicate 2>&-", "", 2),
    ("no standard input", "inject - <&-", "cdi-hook: standard input:1: is not JSON: expecting value (column 1)\n", 1),
    ("nothing at all", "inject - <&- >&- 2>&-", "", 1),
    ("a full disk", "settings --page >/dev/full", "cdi-hook: the disk is full\n", 1),
    ("a full disk for the help", "--help >/dev/full", "cdi-hook: the disk is full\n", 1),
]


@pytest.mark.parametrize(("command", "err", "status"), [row[1:] for row in CLOSED], ids=[row[0] for row in CLOSED])
def test_streams_that_are_closed_or_full(host: Path, command: str, err: str, status: int) -> None:
    words = ["sh", "-c", f"exec {sys.executable} -m cdi_hook {command}"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(words, cwd=ROOT, env=buffered, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", err)


def test_a_locale_without_letters_is_no_obstacle(host: Path) -> None:
    (host / "specs/acme.yaml").rename(host / "specs/\u00e4.yaml")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = python("devices", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme.com/gpu=0" in done.stdout


def test_only_the_module_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from cdi_hook.__main__ import main; main(['kinds', '--spec-dir', '/nowhere']); "
        "print(sorted(name for name in sys.modules if name.startswith('cdi_hook.cli.')), 'rich' in sys.modules, 'logging' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    names = ["kinds", "lookup", "main", "output"]
    assert done.stdout == f"{[f'cdi_hook.cli.{name}' for name in names]} False False\n"


@pytest.mark.parametrize(("name", "module"), [("createRuntime", "createruntime"), ("precreate", "precreate")])
def test_the_switchboard_leads_to_the_entry_points(monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    monkeypatch.setattr(f"cdi_hook.entrypoints.{module}.main", lambda argv: 7 if argv == [name, "x"] else 8)
    assert switchboard.main([name, "x"]) == 7


def test_an_entry_point_loads_no_command() -> None:
    code = (
        "import sys; from cdi_hook.__main__ import main; status = main(['precreate']); "
        "print(status, sorted(name for name in sys.modules if name.startswith('cdi_hook.cli') or name == 'argparse'), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input="{}", capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("{}", "0 []\n")


def test_the_readme_knows_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in tool.COMMANDS if f"`{name}" not in text] == []
