"""Where the settings are, the plain shape that needs no parser, and the search for the real runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.errors import CdiError, RuntimeNotFoundError
from cdi_hook.settings import values

LOCATED: list[tuple[str, str, dict[bytes, bytes], tuple[str, bool]]] = [
    ("the default", "/usr/bin/cdi-runtime", {}, ("/etc/cdi-hook/config.yaml", False)),
    ("a handler's name", "/usr/bin/cdi-runtime-gpu", {}, ("/etc/cdi-hook/gpu.yaml", True)),
    ("a handler's name without a path", "cdi-runtime-a-b", {}, ("/etc/cdi-hook/a-b.yaml", True)),
    ("the variable", "cdi-runtime", {b"CDI_HOOK_CONFIG": b"/x.yaml"}, ("/x.yaml", True)),
    ("the variable beats the name", "cdi-runtime-gpu", {b"CDI_HOOK_CONFIG": b"/x.yaml"}, ("/x.yaml", True)),
    ("an empty variable names a file, too", "cdi-runtime", {b"CDI_HOOK_CONFIG": b""}, ("", True)),
    ("bytes that are no text", "cdi-runtime", {b"CDI_HOOK_CONFIG": b"/\xff"}, ("/\udcff", True)),
    ("only the last part of the path counts", "/opt/cdi-runtime-x/cdi-runtime", {}, ("/etc/cdi-hook/config.yaml", False)),
]


@pytest.mark.parametrize(("invoked_as", "environ", "expected"), [row[1:] for row in LOCATED], ids=[row[0] for row in LOCATED])
def test_locate(invoked_as: str, environ: dict[bytes, bytes], expected: tuple[str, bool]) -> None:
    assert values.locate(invoked_as, environ) == expected


PLAIN: list[tuple[str, str, dict[str, Any]]] = [
    ("an empty file", "", {}),
    ("comments and blank lines", "# one\n\n#two\n", {}),
    ("enabled", "enabled: true\n", {}),
    ("disabled", "enabled: false\n", {"enabled": False}),
    ("a runtime", "runtime: /usr/bin/crun-1.8_x+y\n", {"runtime": "/usr/bin/crun-1.8_x+y"}),
    ("no newline at the end", "runtime: /usr/bin/crun", {"runtime": "/usr/bin/crun"}),
    ("one directory", "specDirs: [/a]\n", {"specDirs": ["/a"]}),
    ("two directories", "specDirs: [/a, /b/c.d]\n", {"specDirs": ["/a", "/b/c.d"]}),
    ("a log", "log:\n  file: /l\n  level: debug\n  format: text\n", {"log.file": "/l", "log.level": "debug", "log.format": "text"}),
    ("a comment inside the log", "log:\n# why\n  level: error\n", {"log.level": "error"}),
    ("a choice", "stale: warn\n", {"stale": "warn"}),
    ("a choice in a group", "hook:\n  tooLate: warn\n", {"hook.tooLate": "warn"}),
    (
        "a truth value in a group",
        "requests:\n  mounts: true\nharden:\n  hookEnv: false\n",
        {"requests.mounts": True, "harden.hookEnv": False},
    ),
    ("variables", "requests:\n  environment: [CDI_DEVICES, A_1]\n", {"requests.environment": ["CDI_DEVICES", "A_1"]}),
    ("prefixes", "requests:\n  annotations: [cdi.k8s.io/, a/b]\n", {"requests.annotations": ["cdi.k8s.io/", "a/b"]}),
    ("a key behind the log", "log:\n  level: error\nruntime: /r\n", {"log.level": "error", "runtime": "/r"}),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_the_plain_shape(text: str, expected: dict[str, Any]) -> None:
    assert values.plain(text.encode()) == {**values.DEFAULTS, **expected}


NOT_PLAIN = [
    ("a quoted path", 'runtime: "/usr/bin/runc"\n'),
    ("a relative path", "runtime: runc\n"),
    ("a comment behind a value", "runtime: /usr/bin/runc # mine\n"),
    ("two blanks", "runtime:  /usr/bin/runc\n"),
    ("no blank", "runtime:/usr/bin/runc\n"),
    ("no value", "runtime:\n"),
    ("a blank at the end", "runtime: /usr/bin/runc \n"),
    ("an indented key", " runtime: /usr/bin/runc\n"),
    ("a tab", "runtime:\t/usr/bin/runc\n"),
    ("a carriage return", "runtime: /usr/bin/runc\r\n"),
    ("a letter that is not ASCII", "# \u00e4\n"),
    ("bytes that are no text", "runtime: /\udcff\n"),
    ("a key twice", "runtime: /a\nruntime: /a\n"),
    ("a word that YAML reads as true", "enabled: yes\n"),
    ("a key of a group with a dot", "log.level: info\n"),
    ("a word that is no choice", "stale: off\n"),
    ("a variable that YAML may read as true", "requests:\n  environment: [Y]\n"),
    ("a prefix with a character that is not allowed", "requests:\n  annotations: [a+b/]\n"),
    ("a prefix without a slash", "requests:\n  annotations: [cdi.k8s.io]\n"),
    ("an unknown key", "runtme: /a\n"),
    ("a list of lines", "specDirs:\n- /a\n"),
    ("an empty list", "specDirs: []\n"),
    ("a list without blanks", "specDirs: [/a,/b]\n"),
    ("a list with a relative path", "specDirs: [/a, b]\n"),
    ("a log without lines", "log:\n"),
    ("a log without lines, and another key", "log:\nruntime: /a\n"),
    ("a log on one line", "log: {level: error}\n"),
    ("an unknown level", "log:\n  level: loud\n"),
    ("a log indented by four", "log:\n    level: error\n"),
    ("an unknown key in the log", "log:\n  size: 1\n"),
    ("a key of the log twice", "log:\n  level: info\n  level: info\n"),
    ("a key of the log at the top", "level: info\n"),
    ("a key of the log outside of it", "log:\n  level: info\nruntime: /r\n  format: text\n"),
    ("an indented key of the top", "log:\n  runtime: /r\n"),
    ("a document mark", "---\nruntime: /a\n"),
    ("words", "hello\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in NOT_PLAIN], ids=[row[0] for row in NOT_PLAIN])
def test_what_is_not_plain_is_left_to_the_parser(text: str) -> None:
    assert values.plain(text.encode("utf-8", "surrogateescape")) is None


def test_no_default_file_means_the_defaults(tmp_path: Path) -> None:
    ours, fault = values.read(str(tmp_path / "none.yaml"), False)
    assert (ours, fault) == (values.DEFAULTS, None)
    assert ours is not values.DEFAULTS


def test_a_plain_file_needs_no_cold_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cdi_hook.settings.file", None)
    file = tmp_path / "config.yaml"
    file.write_text("runtime: /usr/bin/crun\n")
    assert values.read(str(file), True) == ({**values.DEFAULTS, "runtime": "/usr/bin/crun"}, None)


def fault_of(file: Path, named: bool = True) -> str:
    ours, fault = values.read(str(file), named)
    assert ours == values.DEFAULTS
    assert isinstance(fault, CdiError)
    return str(fault)


FIX = "mend it, or point CDI_HOOK_CONFIG to another"


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "gone.yaml") == f"{tmp_path}/gone.yaml: settings file does not exist; {FIX}"


def test_a_file_whose_name_is_empty() -> None:
    ours, fault = values.read("", True)
    assert ours == values.DEFAULTS
    assert str(fault) == "CDI_HOOK_CONFIG: is empty, and names no settings file; unset it, or let it name one"


def test_a_dangling_link_at_the_default_place_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").symlink_to("gone")
    assert values.read(str(tmp_path / "config.yaml"), False) == (values.DEFAULTS, None)


def test_a_directory(tmp_path: Path) -> None:
    assert fault_of(tmp_path, named=False) == f"{tmp_path}: settings file is not a regular file; {FIX}"


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert fault_of(tmp_path / "fifo") == f"{tmp_path}/fifo: settings file is not a regular file; {FIX}"


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert fault_of(tmp_path / "loop") == f"{tmp_path}/loop: settings file cannot be read: is a loop of symbolic links; {FIX}"


def test_a_huge_file(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"#" * ((1 << 20) + 1))
    assert fault_of(tmp_path / "huge") == f"{tmp_path}/huge: settings file is larger than 1 MiB; {FIX}"


# --- the real runtime


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def search(*directories: Path | str) -> dict[bytes, bytes]:
    return {b"PATH": os.fsencode(":".join(str(directory) for directory in directories))}


def test_the_runtime_as_set_is_not_looked_for() -> None:
    assert values.find_runtime({**values.DEFAULTS, "runtime": "/nowhere/krun"}, "/self", {}) == "/nowhere/krun"


def test_runc_is_found_before_crun_wherever_they_are(tmp_path: Path) -> None:
    program(tmp_path / "a/crun")
    runc = program(tmp_path / "b/runc")
    assert values.find_runtime(values.DEFAULTS, "/self", search(tmp_path / "a", tmp_path / "b")) == str(runc)


def test_crun_is_found_where_there_is_no_runc(tmp_path: Path) -> None:
    crun = program(tmp_path / "a/crun")
    assert values.find_runtime(values.DEFAULTS, "/self", search(tmp_path / "none", tmp_path / "a")) == str(crun)


def test_what_leads_back_to_us_is_not_the_runtime(tmp_path: Path) -> None:
    ours = program(tmp_path / "ours/cdi-runtime")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/runc").symlink_to(ours)
    real = program(tmp_path / "b/runc")
    assert values.find_runtime(values.DEFAULTS, str(ours), search(tmp_path / "a", tmp_path / "b")) == str(real)


def test_what_is_no_program_is_not_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "a/runc").mkdir(parents=True)
    program(tmp_path / "b/runc").chmod(0o644)
    crun = program(tmp_path / "b/crun")
    assert values.find_runtime(values.DEFAULTS, "/self", search(tmp_path / "a", tmp_path / "b")) == str(crun)


def test_the_working_directory_is_never_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "runc")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeNotFoundError) as caught:
        values.find_runtime(values.DEFAULTS, "/self", {b"PATH": b":.:"})
    assert str(caught.value) == "runtime: neither runc nor crun is on PATH (:.:); install one, or set runtime: to its absolute path"
