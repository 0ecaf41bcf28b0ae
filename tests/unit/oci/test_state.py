"""``oci.state``: what a runtime gives to a hook, and the bundle that it leads to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.errors import BundleError, CdiError
from cdi_hook.oci import state


def bundle(path: Path, config: object) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def test_bundle_from_the_state(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b", {"root": {"path": "rootfs"}})
    assert state.read_bundle({"bundle": path}) == (path, {"root": {"path": "rootfs"}})


def test_bundle_around_the_root_of_crun(tmp_path: Path) -> None:
    """Before 1.27 crun names another directory as the bundle."""
    path = bundle(tmp_path / "b", {})
    assert state.read_bundle({"bundle": "/nowhere", "root": f"{path}/rootfs"}) == (path, {})


def test_bundle_where_we_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(tmp_path / "b", {})
    monkeypatch.chdir(path)
    assert state.read_bundle({}) == (path, {})


def test_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError) as caught:
        state.read_bundle({"bundle": "/nowhere", "root": "rootfs"})
    assert str(caught.value) == f"the container state on standard input: bundle: leads to no config.json (tried /nowhere, {tmp_path})"


BAD = {"a list": ([], "is not an object"), "a key twice": ('{"a":1,"a":2}', "stands twice")}


@pytest.mark.parametrize(("config", "reason"), BAD.values(), ids=BAD)
def test_config_that_is_none(tmp_path: Path, config: object, reason: str) -> None:
    path = bundle(tmp_path / "b", config)
    if isinstance(config, str):
        (tmp_path / "b/config.json").write_text(config, encoding="utf-8")
    with pytest.raises(BundleError, match=reason):
        state.read_bundle({"bundle": path})


ROOTS = {
    "relative": ({"root": {"path": "rootfs"}}, {}, "/b/rootfs"),
    "absolute": ({"root": {"path": "/var/lib/x"}}, {}, "/var/lib/x"),
    "only in crun's state": ({}, {"root": "/var/lib/y"}, "/var/lib/y"),
    "the config's wins": ({"root": {"path": "rootfs"}}, {"root": "/y"}, "/b/rootfs"),
}


@pytest.mark.parametrize(("config", "given", "path"), ROOTS.values(), ids=ROOTS)
def test_rootfs(config: dict[str, Any], given: dict[str, Any], path: str) -> None:
    assert state.rootfs("/b", config, given) == path


@pytest.mark.parametrize("config", [{}, {"root": 7}, {"root": {}}, {"root": {"path": ""}}, {"root": {"path": "a\0b"}}])
def test_no_rootfs(config: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"^/b/config.json: root.path: is not a path$"):
        state.rootfs("/b", config, {})


def test_state_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_LARGEST", 100)
    reader, writer = os.pipe()
    os.write(writer, b" " * 200)
    monkeypatch.setattr(state, "_STDIN", reader)
    with pytest.raises(CdiError, match="the container state on standard input: is too large"):
        state.read()
    os.close(reader)
    os.close(writer)
