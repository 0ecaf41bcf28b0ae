"""What runtimes honour: their own answers, the table of versions, and the memory of both. The runtimes are scripts."""

from __future__ import annotations

import json
import os
import posix
import time
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import memory
from cdi_hook.oci import features


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory of our own."""
    monkeypatch.setattr(memory, "SYSTEM_HOME", str(tmp_path / "run"))
    monkeypatch.delitem(posix.environ, b"XDG_RUNTIME_DIR", raising=False)
    return tmp_path / "run"


def runtime(path: Path, version: str = "", answer: Any = None, *, body: str = "") -> str:
    """A runtime that prints this, and keeps count of how often it was asked."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    case = f"features) cat <<'END'\n{text}\nEND\n;;" if answer is not None else "features) echo unknown command features; exit 1 ;;"
    path.write_text(f"#!/bin/sh\necho x >>{path}.asked\n{body}\ncase $1 in\n{case}\n--version) echo '{version}' ;;\nesac\n")
    path.chmod(0o755)
    return str(path)


def asked(path: str) -> int:
    return len(Path(f"{path}.asked").read_text().splitlines()) if os.path.exists(f"{path}.asked") else 0


VERSIONS: list[tuple[str, str, str, bool | None]] = [
    ("runc 1.1 knows no net devices", "runc version 1.1.5+ds1", "netDevices", False),
    ("runc 1.4 does", "runc version 1.4.0", "netDevices", True),
    ("the first candidate does", "runc version 1.4.0-rc.1+dev", "netDevices", True),
    ("but has no schemata", "runc version 1.4.0-rc.1", "intelRdt.schemata", False),
    ("the second has", "runc version 1.4.0-rc.2", "intelRdt.schemata", True),
    ("monitoring came with schemata in runc", "runc version 1.4.0-rc.2", "intelRdt.enableMonitoring", True),
    ("idmap came with runc 1.2", "runc version 1.2.0", "mount.idmap", True),
    ("not with its candidates", "runc version 1.2.0-rc.3", "mount.idmap", False),
    ("crun has two numbers", "crun version 1.22", "netDevices", True),
    ("or three", "crun version 1.21.1", "netDevices", False),
    ("crun has schemata before monitoring", "crun version 1.22", "intelRdt.schemata", True),
    ("crun has monitoring later", "crun version 1.23.1", "intelRdt.enableMonitoring", False),
    ("crun had idmap early", "crun version 1.8.1", "mount.idmap", True),
    ("and ridmap later", "crun version 1.8.1", "mount.ridmap", False),
    ("youki says it with a colon", "youki version: 0.6.0", "netDevices", True),
    ("youki has no idmap", "youki version: 0.7.0", "mount.idmap", False),
    ("another runtime", "runsc version release-20240101", "netDevices", None),
    ("no version", "", "netDevices", None),
    ("a wrapper lets the runtime speak below", "NVIDIA Container Runtime version 1.17.0\nrunc version 1.4.1", "netDevices", True),
]


@pytest.mark.parametrize(("version", "feature", "expected"), [row[1:] for row in VERSIONS], ids=[row[0] for row in VERSIONS])
def test_the_version_decides_where_features_says_nothing(tmp_path: Path, version: str, feature: str, expected: bool | None) -> None:
    assert features.supports(runtime(tmp_path / "runtime", version), feature) is expected


ANSWERS: list[tuple[str, Any, str, bool | None]] = [
    ("yes", {"linux": {"netDevices": {"enabled": True}}}, "netDevices", True),
    ("no beats the version", {"linux": {"netDevices": {"enabled": False}}}, "netDevices", False),
    ("no word of it", {"linux": {"intelRdt": {"enabled": True}}}, "intelRdt.schemata", True),
    ("schemata", {"linux": {"intelRdt": {"schemata": False}}}, "intelRdt.schemata", False),
    ("monitoring", {"linux": {"intelRdt": {"monitoring": False}}}, "intelRdt.enableMonitoring", False),
    ("idmap", {"linux": {"mountExtensions": {"idmap": {"enabled": False}}}}, "mount.idmap", False),
    ("null is no word", {"linux": {"netDevices": None}}, "netDevices", True),
    ("no object", [], "netDevices", True),
    ("no JSON", "hello", "netDevices", True),
    ("numbers are no answer", {"linux": {"netDevices": {"enabled": 0}}}, "netDevices", True),
]


@pytest.mark.parametrize(("answer", "feature", "expected"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_what_the_runtime_says_outright_comes_first(tmp_path: Path, answer: Any, feature: str, expected: bool) -> None:
    assert features.supports(runtime(tmp_path / "runtime", "runc version 1.4.0", answer), feature) is expected


def test_ridmap_is_told_by_the_mount_options(tmp_path: Path) -> None:
    assert features.supports(runtime(tmp_path / "a", "crun version 1.8.1", {"mountOptions": ["bind", "ridmap"]}), "mount.ridmap") is True
    assert features.supports(runtime(tmp_path / "b", "crun version 1.8.1", {"mountOptions": ["bind"]}), "mount.ridmap") is False
    assert features.supports(runtime(tmp_path / "c", "crun version 1.9", {"mountOptions": ["bind"]}), "mount.ridmap") is True


def test_an_answer_of_a_runtime_that_nobody_knows_counts(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runtime", "kata 3", {"linux": {"netDevices": {"enabled": True}}})
    assert features.facts(path) == features.Facts("", {"netDevices": True})


@pytest.mark.parametrize("feature", features.TABLE)
def test_every_feature_says_what_is_needed(tmp_path: Path, feature: str) -> None:
    assert features.needed("/nowhere", feature).startswith("runc 1.")


def test_what_is_needed_names_the_version_that_is_there(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runtime", "runc version 1.4.0-rc.1")
    assert features.needed(path, "intelRdt.schemata") == "runc 1.4.0 or crun 1.22 (this is runc 1.4.0-rc.1)"
    assert features.needed("/nowhere", "netDevices") == "runc 1.4.0 or crun 1.22"


@pytest.mark.parametrize("path", ["/nowhere", "/", "/dev/null", "/\0"])
def test_what_cannot_be_run_tells_nothing(path: str) -> None:
    assert features.facts(path) == features.Facts("", {})


# --- runtimes that do not answer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "TIMEOUT", 0.3)


def assert_dead(file: Path) -> None:
    """The process whose number is in this file is gone."""
    pid = int(file.read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # nobody's any more, and init has not looked yet
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} lives on")


SILENT = {
    "sleeps": "sleep 60 & echo $! >$0.pid; wait",
    "answers, and leaves a child that holds the pipe": "sleep 60 & echo $! >$0.pid; echo runc version 1.4.0; exit",
    "closes its output and lingers": "echo runc version 1.4.0; exec >&-; sleep 60 & echo $! >$0.pid; wait",
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("body", SILENT.values(), ids=SILENT)
def test_a_runtime_that_does_not_end_is_killed_with_all_its_children(tmp_path: Path, body: str) -> None:
    path = runtime(tmp_path / "runtime", "runc version 1.4.0", body=body)
    started = time.monotonic()
    assert features.ask(path) == features.Facts("", {})
    assert time.monotonic() - started < 5
    assert_dead(Path(f"{path}.pid"))


@pytest.mark.parametrize(
    ("body", "version"),
    [
        pytest.param("exec sleep 60", "", id="answers nothing"),
        pytest.param("[ $1 = features ] && exec sleep 60", "runc 1.4.0", id="answers the second question alone"),
    ],
)
def test_all_answers_together_take_no_longer_than_the_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, version: str
) -> None:
    monkeypatch.setattr(features, "TIMEOUT", 1.0)
    path = runtime(tmp_path / "runtime", "runc version 1.4.0", body=body)
    started = time.monotonic()
    assert features.ask(path).version == version
    assert time.monotonic() - started < 2 * features.TIMEOUT - 0.1


def test_a_runtime_that_talks_without_end_is_cut_off(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runtime", "", body="exec yes 'runc version 1.4.0'")
    started = time.monotonic()
    assert features.ask(path) == features.Facts("", {})
    assert time.monotonic() - started < 2 * features.TIMEOUT


def test_a_runtime_that_fails_has_said_nothing(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runtime", "", body="echo runc version 1.4.0; exit 3")
    assert features.ask(path) == features.Facts("", {})


def test_the_runtime_gets_no_terminal_and_no_input(tmp_path: Path) -> None:
    path = runtime(
        tmp_path / "runtime",
        "",
        body='read line && exit 1; [ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] || exit 1; echo runc version 1.4.0; exit',
    )
    assert features.ask(path).version == "runc 1.4.0"


# --- memory


def test_a_binary_is_asked_once(tmp_path: Path, home: Path) -> None:
    path = runtime(tmp_path / "runc", "runc version 1.4.0")
    for _ in range(3):
        assert features.supports(path, "netDevices") is True
    assert asked(path) == 2
    assert [entry.name for entry in home.iterdir()] == [features._memo(path)]
    assert home.stat().st_mode & 0o777 == 0o700


def test_another_binary_at_the_same_place_is_asked_anew(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runc", "runc version 1.4.0")
    assert features.supports(path, "netDevices") is True
    os.unlink(path)
    runtime(tmp_path / "runc", "runc version 1.1.15")
    assert features.supports(path, "netDevices") is False


def test_what_told_nothing_is_asked_again(tmp_path: Path) -> None:
    path = runtime(tmp_path / "runc", "")
    assert features.supports(path, "netDevices") is None
    assert features.supports(path, "netDevices") is None
    assert asked(path) == 4


def spoil(memo: Path, how: str) -> None:
    value = json.loads(memo.read_text())
    if how == "is writable by others":
        memo.chmod(0o666)
    elif how == "is a link":
        memo.rename(f"{memo}.real")
        memo.symlink_to(f"{memo}.real")
    elif how == "is a FIFO":
        memo.unlink()
        os.mkfifo(memo, 0o600)
    elif how == "is empty":
        memo.write_text("")
    elif how == "is deep":
        memo.write_text("[" * 100_000)
    elif how == "is a list":
        memo.write_text("[]")
    elif how == "has another shape":
        memo.write_text(json.dumps({**value, "supports": []}))
    elif how == "has no version":
        memo.write_text(json.dumps({**value, "version": None}))
    else:
        raise AssertionError(how)


SPOILT = ["is writable by others", "is a link", "is a FIFO", "is empty", "is deep", "is a list", "has another shape", "has no version"]


@pytest.mark.parametrize("how", SPOILT)
def test_a_memory_that_does_not_check_out_is_not_believed(tmp_path: Path, home: Path, how: str) -> None:
    path = runtime(tmp_path / "runc", "runc version 1.1.5")
    features.facts(path)
    memo = home / features._memo(path)
    lie = json.loads(memo.read_text())
    lie["supports"]["netDevices"] = True
    memo.write_text(json.dumps(lie))
    assert features.supports(path, "netDevices") is True  # it is read
    spoil(memo, how)
    assert features.supports(path, "netDevices") is False
    assert asked(path) == 4


def test_a_directory_that_others_may_write_to_is_not_used(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    path = runtime(tmp_path / "runc", "runc version 1.4.0")
    assert features.supports(path, "netDevices") is True
    assert list(home.iterdir()) == []


def test_without_a_directory_it_is_asked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SYSTEM_HOME", "/proc/nowhere")
    path = runtime(tmp_path / "runc", "runc version 1.4.0")
    assert features.supports(path, "netDevices") is True
    assert features.supports(path, "netDevices") is True
    assert asked(path) == 4


def test_a_user_remembers_in_the_directory_of_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SYSTEM_HOME", "/proc/nowhere")
    monkeypatch.setitem(posix.environ, b"XDG_RUNTIME_DIR", bytes(tmp_path))
    path = runtime(tmp_path / "runc", "runc version 1.4.0")
    features.facts(path)
    assert len(list((tmp_path / "cdi-hook").iterdir())) == 1
