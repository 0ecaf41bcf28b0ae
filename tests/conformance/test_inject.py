"""Injection: the whole way from spec directories and a request to the edited config, as the CDI reference goes it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import Registry
from cdi_hook.cdi.annotations import parse_annotations
from cdi_hook.errors import CdiError, ConflictError, UnresolvedError
from cdi_hook.oci import jsonio
from tests.conformance.cases import ids, load

_CASES = load("inject")

_HIGHER_WINS = "a conflict in a lower directory does not kill the clean definition of a higher one"
DEPARTURES = {
    "dirs-conflict-low-then-high": (_HIGHER_WINS, ["FROM=high"]),
    "dirs-conflict-middle": (_HIGHER_WINS, ["FROM=3"]),
}
"""Cases where the result is another than the reference's, all of them quirks, with what is added to the process's environment
instead; docs/differences.md says why."""

_BY_COMMAND = [case for number, case in enumerate(_CASES) if number % 20 == 0 or "configText" in case]
"""Enough to see that the command hands things on: each costs a start of Python."""


@pytest.mark.parametrize("case", _CASES, ids=ids)
def test_inject(case: dict[str, Any], tmp_path: Path) -> None:
    dirs, text, devices = _materialise(case, tmp_path)
    expect = _expectation(case, tmp_path)
    if expect["ok"]:
        _assert_equal(_inject(dirs, text, devices), expect)
    elif "unresolved" in expect:
        with pytest.raises((UnresolvedError, ConflictError)) as caught:
            _inject(dirs, text, devices)
        for name in expect["unresolved"]:
            assert name in str(caught.value)
    else:
        with pytest.raises(CdiError) as refused:
            _inject(dirs, text, devices)
        assert not isinstance(refused.value, (UnresolvedError, ConflictError))


@pytest.mark.parametrize("case", _BY_COMMAND, ids=ids)
def test_inject_by_command(case: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("cdi_hook.cli.inject")
    dirs, text, devices = _materialise(case, tmp_path)
    expect = _expectation(case, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(text, encoding="utf-8")
    spec_dirs = [part for directory in dirs for part in ("--spec-dir", directory)]
    command = [sys.executable, "-m", "cdi_hook", "inject", *spec_dirs, str(config), *(devices or [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if expect["ok"]:
        assert (done.returncode, done.stderr) == (0, "")
        _assert_equal(json.loads(done.stdout), expect)
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("cdi-hook: ")
        assert "Traceback" not in done.stderr


def _inject(dirs: list[str], text: str, names: list[str] | None) -> Any:
    config = jsonio.loads(text)
    if names is None:
        _, names = parse_annotations(config.get("annotations"))
    return json.loads(jsonio.dumps(Registry.discover(dirs).inject(config, names)))


def _expectation(case: dict[str, Any], root: Path) -> dict[str, Any]:
    expect: dict[str, Any] = _with_root(case["expect"], root)
    if case["id"] in DEPARTURES:
        assert case["quirk"]
        config = _with_root(case["config"], root)
        config["process"]["env"] += DEPARTURES[case["id"]][1]
        return {"ok": True, "config": config}
    return expect


def _assert_equal(result: Any, expect: dict[str, Any]) -> None:
    expected = expect["config"]
    for pointer in expect.get("zeroOrAbsent", ()):
        _remove_zero(result, pointer)
        _remove_zero(expected, pointer)
    assert result == expected


def _remove_zero(value: Any, pointer: str) -> None:
    """Remove what the JSON pointer leads to if it is a zero value."""
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for parent in parents:
        value = value.get(parent) if isinstance(value, dict) else None
    if isinstance(value, dict) and value.get(last, 1) in ("", 0, {}):
        del value[last]


def _materialise(case: dict[str, Any], root: Path) -> tuple[list[str], str, list[str] | None]:
    """Lay out the case below ``root``; the spec directories, the text of the config, and the devices if any are named."""
    dirs = []
    for number, content in enumerate(case["specDirs"]):
        directory = root / str(number)
        dirs.append(str(directory))
        if isinstance(content, dict):
            _write_files(content, directory, root)
        elif isinstance(content, str):
            directory.write_text(_with_root(content, root), encoding="utf-8")
        elif isinstance(content, int):
            directory.symlink_to(root / str(content))
        else:
            assert content is None
    _write_files(case.get("hostFiles", {}), root / "host", root)
    text = case["configText"] if "configText" in case else json.dumps(case["config"])
    return dirs, _with_root(text, root), _with_root(case.get("devices"), root)


def _write_files(files: dict[str, Any], directory: Path, root: Path) -> None:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_bytes(_with_root(content, root).encode("utf-8"))
        elif "base64" in content:
            path.write_bytes(base64.b64decode(content["base64"]))
        elif "symlink" in content:
            path.symlink_to(_with_root(content["symlink"], root))
        elif "dir" in content:
            path.mkdir()
        else:
            os.mkfifo(path)
            path.chmod(int(content["fifo"], 8))


def _with_root(value: Any, root: Path) -> Any:
    if isinstance(value, str):
        return value.replace("@ROOT@", str(root))
    if isinstance(value, list):
        return [_with_root(member, root) for member in value]
    if isinstance(value, dict):
        return {_with_root(key, root): _with_root(member, root) for key, member in value.items()}
    return value
