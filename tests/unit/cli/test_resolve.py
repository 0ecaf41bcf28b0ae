"""``resolve``: CDI names among the devices of a config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

NODE = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3}


def test_names_become_devices(run: Run, host: Path) -> None:
    (host / "config.json").write_text(
        json.dumps({"linux": {"devices": [{"path": "acme.com/gpu=1"}, NODE, {"path": "acme.com/nic=a"}], "x": 1}})
    )
    done = run("resolve", "--spec-dir", "specs", "config.json")
    assert done.json() == {"linux": {"devices": [NODE], "x": 1}, "process": {"env": ["DEVICE_1=", "DEVICE_a="]}}


@pytest.mark.parametrize(
    "text", ["{}", "null", '{"linux": null}', '{ "linux": {"devices": [null, {"path": "/dev/x"}, {"path": null}, {}]}}']
)
def test_without_names_the_config_is_the_same_to_the_byte(run: Run, host: Path, text: str) -> None:
    (host / "config.json").write_text(text)
    assert run("resolve", "config.json").out == text


def test_in_place(run: Run, host: Path) -> None:
    (host / "config.json").write_text('{"linux":{"devices":[{"path":"acme.com/gpu=1"}]}}')
    assert run("resolve", "--in-place", "--spec-dir", "specs", "config.json").status == 0
    assert json.loads((host / "config.json").read_text()) == {"linux": {"devices": []}, "process": {"env": ["DEVICE_1="]}}


def test_an_unknown_name(run: Run, host: Path) -> None:
    (host / "config.json").write_text('{"linux":{"devices":[{"path":"acme.com/gpu=7"}]}}')
    done = run("resolve", "--spec-dir", "specs", "config.json")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("cdi-hook: acme.com/gpu=7 is not known; ")


def test_devices_that_are_none(run: Run, host: Path) -> None:
    (host / "config.json").write_text('{"linux":{"devices":{}}}')
    done = run("resolve", "config.json")
    assert (done.status, done.out) == (1, "")
    assert done.err == "cdi-hook: config.json: linux.devices: is an object, not a list; the engine that wrote this config must mend it\n"
