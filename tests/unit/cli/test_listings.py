"""``devices``, ``kinds``, ``vendors``, ``classes`` and ``specs``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tests.unit.specs import BROKEN, spec_text, write_files


def test_devices_as_text(run: Run, host: Path) -> None:
    done = run("devices")
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        f"acme.com/gpu=0  {host}/specs/acme.yaml:4\nacme.com/gpu=1  {host}/specs/acme.yaml:7\nacme.com/nic=a  {host}/specs/nic.yaml:4\n"
    )


def test_devices_as_json(run: Run, host: Path) -> None:
    assert run("devices", "--format", "json").json()[0] == {
        "name": "acme.com/gpu=0",
        "usable": True,
        "file": f"{host}/specs/acme.yaml",
        "line": 4,
    }


def test_devices_as_yaml(run: Run) -> None:
    done = run("devices", "--format", "yaml")
    assert [device["name"] for device in yaml.safe_load(done.out)] == ["acme.com/gpu=0", "acme.com/gpu=1", "acme.com/nic=a"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["acme.com/gpu=1"], ["acme.com/gpu=1"]),
        (["acme.com/gpu=*"], ["acme.com/gpu=0", "acme.com/gpu=1"]),
        (["*=a", "acme.com/gpu=[1-9]"], ["acme.com/gpu=1", "acme.com/nic=a"]),
        (["acme.com/none=*"], []),
    ],
)
def test_devices_by_name_and_glob(run: Run, patterns: list[str], expected: list[str]) -> None:
    done = run("devices", *patterns)
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == expected


def test_devices_with_what_they_do(run: Run, host: Path) -> None:
    assert run("devices", "-v", "acme.com/nic=a").out == f"acme.com/nic=a  {host}/specs/nic.yaml:4\n    env:\n    - DEVICE_a=\n"
    assert run("devices", "-v", "--format", "json", "acme.com/nic=a").json()[0]["containerEdits"] == {"env": ["DEVICE_a="]}


def test_an_unusable_device_is_listed_with_the_reason(run: Run, host: Path) -> None:
    write_files(host, {"specs/other.yaml": spec_text(devices="1")})
    done = run("devices")
    reason = f"{host}/specs/acme.yaml and {host}/specs/other.yaml define it alike"
    assert f"acme.com/gpu=1  unusable: {reason}\n" in done.out
    assert done.status == 0
    assert len(done.err.splitlines()) == 2
    (device,) = [each for each in json.loads(run("devices", "--format", "json").out) if not each["usable"]]
    assert device == {
        "name": "acme.com/gpu=1",
        "usable": False,
        "files": [f"{host}/specs/acme.yaml", f"{host}/specs/other.yaml"],
        "reason": reason,
    }
    assert "unusable" in run("devices", "-v").out


def test_a_file_that_does_not_load_hides_nothing(run: Run, host: Path) -> None:
    write_files(host, {"specs/broken.yaml": BROKEN, "specs/worse.json": "{"})
    for command in ("devices", "kinds", "vendors", "classes", "specs"):
        done = run(command)
        assert done.status == 0
        assert "acme.com" in done.out or done.out == "gpu\nnic\n"
        first, second = done.err.splitlines()
        assert first.startswith(f"cdi-hook: {host}/specs/broken.yaml:3: devices: ")
        assert second.startswith(f"cdi-hook: {host}/specs/worse.json:")


def test_names(run: Run) -> None:
    assert run("kinds").out == "acme.com/gpu\nacme.com/nic\n"
    assert run("vendors").out == "acme.com\n"
    assert run("classes").out == "gpu\nnic\n"
    assert run("kinds", "--format", "json").json() == ["acme.com/gpu", "acme.com/nic"]
    assert run("vendors", "--format", "yaml").out == "- acme.com\n"


def test_specs(run: Run, host: Path) -> None:
    assert run("specs").out == (
        f"{host}/specs/acme.yaml  acme.com/gpu  0.6.0  2 devices\n{host}/specs/nic.yaml   acme.com/nic  0.6.0  1 device\n"
    )
    assert run("specs", "--format", "json").json()[1] == {
        "file": f"{host}/specs/nic.yaml",
        "kind": "acme.com/nic",
        "cdiVersion": "0.6.0",
        "priority": 0,
        "devices": ["acme.com/nic=a"],
    }


def test_specs_with_their_content(run: Run, host: Path) -> None:
    write_files(host, {"specs/other.yaml": spec_text("other.org/x")})
    done = run("specs", "-v", "other.org")
    head, _, content = done.out.partition("\n")
    assert head == f"{host}/specs/other.yaml"
    assert yaml.safe_load(content)["kind"] == "other.org/x"
    assert run("specs", "-v", "--format", "json", "other.org").json()[0]["spec"]["kind"] == "other.org/x"


def test_directories_of_the_command_line_replace_those_of_the_settings(run: Run, host: Path) -> None:
    write_files(host, {"low/a.yaml": spec_text("a.org/x", "0", "low"), "high/a.yaml": spec_text("a.org/x", "0", "high")})
    (host / "config.yaml").write_text("nonsense: [")
    done = run("devices", "--spec-dir", "low", "--spec-dir", "high")
    assert (done.status, done.out, done.err) == (0, "a.org/x=0  high/a.yaml:4\n", "")


def test_broken_settings_are_an_error_where_they_matter(run: Run, host: Path) -> None:
    (host / "config.yaml").write_text("specDirs: x\nstale: y\n")
    done = run("devices")
    assert (done.status, done.out) == (1, "")
    assert [line.partition(": is ")[0] for line in done.err.splitlines()] == [
        f"cdi-hook: {host}/config.yaml:1: specDirs",
        f"cdi-hook: {host}/config.yaml:2: stale",
    ]


@pytest.mark.parametrize("command", ["devices", "specs", "kinds"])
def test_no_specs_at_all(run: Run, command: str) -> None:
    done = run(command, "--spec-dir", "nowhere")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert run(command, "--spec-dir", "nowhere", "--format", "json").json() == []
