"""``inject``: pure, as the wrapper, and where the result goes."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.pipeline import plan
from cdi_hook.settings import values
from tests.unit.cli.conftest import Run
from tests.unit.specs import write_files

CONFIG = '{"ociVersion": "1.0.2", "x": {"n": 1.50}, "annotations": {"cdi.k8s.io/x": "acme.com/gpu=0,acme.com/gpu=0"}}'
HOOKED = """\
cdiVersion: 0.6.0
kind: acme.com/hooked
devices:
- name: "0"
  containerEdits:
    hooks: [{hookName: createContainer, path: /bin/true}]
"""


@pytest.fixture
def config(host: Path) -> Path:
    (host / "config.json").write_text(CONFIG)
    return host / "config.json"


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_annotations_of_the_config_are_the_request(run: Run, host: Path, config: Path) -> None:
    done = run("inject", "--spec-dir", "specs", config)
    assert (done.status, done.err) == (0, "")
    # Twice is twice here, as in the reference; an environment variable does not show it.
    assert done.out == (
        '{"ociVersion":"1.0.2","x":{"n":1.50},"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0,acme.com/gpu=0"},'
        '"process":{"env":["DEVICE_0="]}}\n'
    )
    assert config.read_text() == CONFIG


def test_pure_doubles_and_knows_no_settings(run: Run, host: Path, config: Path) -> None:
    write_files(host, {"specs/hooked.yaml": HOOKED})
    (host / "config.yaml").write_text("nonsense: [")
    done = run("inject", "--spec-dir", "specs", config, "acme.com/hooked=0", "acme.com/hooked=0")
    assert done.json()["hooks"] == {"createContainer": [{"path": "/bin/true"}, {"path": "/bin/true"}]}


def test_globs(run: Run, config: Path) -> None:
    env = run("inject", "--spec-dir", "specs", config, "*=a", "acme.com/gpu=*", "acme.com/gpu=1").json()["process"]["env"]
    assert env == ["DEVICE_a=", "DEVICE_0=", "DEVICE_1="]


def test_a_bundle_and_standard_input(run: Run, host: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("inject", "--spec-dir", "specs", config).out
    assert run("inject", "--spec-dir", "specs", host).out == expected
    stdin(monkeypatch, CONFIG.encode())
    assert run("inject", "--spec-dir", "specs", "-").out == expected


def test_null_counts_as_an_empty_config(run: Run, config: Path) -> None:
    config.write_text("null")
    assert run("inject", "--spec-dir", "specs", config, "acme.com/gpu=0").json() == {"process": {"env": ["DEVICE_0="]}}
    assert run("inject", "--spec-dir", "specs", config).json() == {}


def test_nothing_requested_gives_the_same_value(run: Run, config: Path) -> None:
    config.write_text('{ "a": 1e3, "b": [null, false] }')
    assert run("inject", config).out == '{"a":1e3,"b":[null,false]}\n'


def test_specs_lie_where_the_settings_say(run: Run, config: Path) -> None:
    """As for every other command; --spec-dir beats them."""
    assert run("inject", config, "acme.com/gpu=0").json() == run("inject", "--spec-dir", "specs", config, "acme.com/gpu=0").json()
    assert run("inject", "--spec-dir", "/nowhere", config, "acme.com/gpu=0").status == 1


ANNOTATED = '{"annotations":{"cdi.k8s.io/x":"gpu"}}'
NO_NAME = '{file}: annotations["cdi.k8s.io/x"]: "gpu" is not a whole device name; '
REFUSED: list[tuple[str, list[str], str, list[str], str]] = [
    ("no JSON", [], "x", [], "{file}:1: is not JSON: expecting value (column 1)"),
    ("no object", [], "[]", [], "{file}: is a list, not an object"),
    ("a key twice", [], '{"a":1,"a":2}', [], "{file}: is not plain JSON: the key 'a' stands twice in one object"),
    ("no such device", [], "{}", ["acme.com/gpu=7"], "acme.com/gpu=7 is not known; near names: "),
    ("a glob without a match", [], "{}", ["acme.com/x=*"], "acme.com/x=* is not known; "),
    ("a malformed annotation", [], ANNOTATED, [], NO_NAME),
    ("annotations that are none", [], '{"annotations":[]}', [], "{file}: annotations: is a list, not an object"),
    ("no JSON, as wrapper", ["--as-wrapper"], '{"cdi.k8s.io', [], "{file}:1: is not JSON: "),
    ("no JSON and a device, as wrapper", ["--as-wrapper"], "x", ["acme.com/gpu=0"], "{file}:1: is not JSON: "),
    ("null and a device, as wrapper", ["--as-wrapper"], "null", ["acme.com/gpu=0"], "{file}: is not an object"),
    ("no such device, as wrapper", ["--as-wrapper"], "{}", ["acme.com/gpu=7"], "acme.com/gpu=7 is not known; "),
    ("no device name, as wrapper", ["--as-wrapper"], "{}", ["gpu"], '"gpu" is not a whole device name; '),
    ("a glob without a match, as wrapper", ["--as-wrapper"], "{}", ["acme.com/x=*"], "acme.com/x=* is not known; "),
    ("a malformed annotation, as wrapper", ["--as-wrapper"], ANNOTATED, [], NO_NAME),
]


@pytest.mark.parametrize(("options", "text", "devices", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_on_an_error_nothing_is_written(
    run: Run, host: Path, config: Path, options: list[str], text: str, devices: list[str], message: str
) -> None:
    config.write_text(text)
    before = config.stat()
    for where in ([], ["-o", "out.json"], ["--in-place"]):
        done = run("inject", "--spec-dir", "specs", *options, *where, config, *devices)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith(f"cdi-hook: {message.format(file=config)}")
        assert done.err.count("\n") == 1
    assert (config.read_text(), config.stat().st_ino, config.stat().st_mtime_ns) == (text, before.st_ino, before.st_mtime_ns)
    assert not (host / "out.json").exists()


def test_a_config_that_is_missing(run: Run) -> None:
    done = run("inject", "gone.json")
    assert (done.status, done.out, done.err) == (1, "", "cdi-hook: gone.json: cannot be read: does not exist\n")


# --- as the wrapper


def wrapped(text: str, specs: Path, **more: Any) -> bytes:
    edited, _ = plan.edit(text.encode(), {**values.DEFAULTS, "specDirs": [str(specs)], **more}, runtime="/bin/true")
    assert edited is not None
    return edited


def test_as_wrapper_gives_the_bytes_of_the_wrapper(run: Run, host: Path, config: Path) -> None:
    write_files(host, {"specs/hooked.yaml": HOOKED})
    config.write_text('{"annotations": {"cdi.k8s.io/x": "acme.com/hooked=0,acme.com/hooked=0"}}')
    done = run("inject", "--as-wrapper", config)
    assert (done.status, done.err) == (0, "")
    assert done.out.encode() == wrapped(config.read_text(), host / "specs")
    assert len(json.loads(done.out)["hooks"]["createContainer"]) == 1
    assert json.loads(done.out)["hooks"]["createContainer"][0]["env"][0].startswith("PATH=")
    # Once more changes nothing.
    config.write_text(done.out)
    assert run("inject", "--as-wrapper", config).out == done.out


def test_as_wrapper_heeds_the_settings(run: Run, host: Path, config: Path) -> None:
    write_files(host, {"specs/hooked.yaml": HOOKED})
    (host / "config.yaml").write_text(f"runtime: /bin/true\nspecDirs: [{host}/specs]\nharden: {{hookEnv: false}}\n")
    assert run("inject", "--as-wrapper", config, "acme.com/hooked=0").json()["hooks"] == {"createContainer": [{"path": "/bin/true"}]}


def test_as_wrapper_with_devices_is_like_a_request_for_them(run: Run, host: Path, config: Path) -> None:
    done = run("inject", "--as-wrapper", config, "acme.com/gpu=*", "acme.com/gpu=1")
    value = json.loads(CONFIG)
    assert done.json() == {**value, "process": {"env": ["DEVICE_0=", "DEVICE_1="]}}
    assert '"n":1.50' in done.out


UNTOUCHED = [
    ("nothing is requested", ' {"a" : 1}\n', "enabled: true\n", []),
    ("it is no JSON", "nonsense", "enabled: true\n", []),
    ("we are switched off", CONFIG, "enabled: false\n", []),
    ("we are switched off and devices are named", CONFIG, "enabled: false\n", ["acme.com/gpu=0"]),
    ("it is a sandbox", '{"annotations": {"io.kubernetes.cri.container-type": "sandbox"}}', "enabled: true\n", ["acme.com/gpu=0"]),
    ("it holds everything", '{"process": {"env": ["DEVICE_0="]}}', "enabled: true\n", ["acme.com/gpu=0"]),
]


@pytest.mark.parametrize(("text", "ours", "devices"), [row[1:] for row in UNTOUCHED], ids=[str(row[0]) for row in UNTOUCHED])
def test_as_wrapper_gives_the_same_bytes_when_there_is_nothing_to_do(
    run: Run, host: Path, config: Path, text: str, ours: str, devices: list[str]
) -> None:
    (host / "config.yaml").write_text(f"runtime: /bin/true\nspecDirs: [{host}/specs]\n{ours}")
    config.write_text(text)
    done = run("inject", "--as-wrapper", config, *devices)
    assert (done.status, done.out, done.err) == (0, text, "")
    before = config.stat()
    assert run("inject", "--as-wrapper", "--in-place", config, *devices).status == 0
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_as_wrapper_without_a_runtime_says_what_it_did_not_look_at(
    run: Run, host: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host / "config.yaml").write_text(f"specDirs: [{host}/specs]\n")
    monkeypatch.setenv("PATH", "/nowhere")
    done = run("inject", "--as-wrapper", config)
    assert done.status == 0
    assert json.loads(done.out)["process"] == {"env": ["DEVICE_0="]}
    assert done.err == (
        "cdi-hook: runtime: neither runc nor crun is on PATH (/nowhere); install one, or set runtime: to its absolute path; "
        "so what the runtime would drop is not looked at\n"
    )


# --- where it goes


def test_in_place_keeps_mode_and_owner(run: Run, config: Path) -> None:
    config.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(config, 12, 34)
    before = config.stat()
    done = run("inject", "--in-place", "--spec-dir", "specs", config)
    assert (done.status, done.out, done.err) == (0, "", "")
    after = config.stat()
    assert json.loads(config.read_text())["process"] == {"env": ["DEVICE_0="]}
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert sorted(os.listdir(config.parent)) == ["config.json", "config.yaml", "specs"]


def test_in_place_follows_a_link(run: Run, host: Path, config: Path) -> None:
    (host / "link.json").symlink_to("config.json")
    assert run("inject", "--in-place", "--spec-dir", "specs", "link.json").status == 0
    assert (host / "link.json").is_symlink()
    assert "process" in json.loads(config.read_text())


def test_standard_input_cannot_be_replaced(run: Run) -> None:
    done = run("inject", "--in-place", "-")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("cdi-hook inject: error: standard input cannot be replaced in place\n")


def test_only_one_place_at_a_time(run: Run, config: Path) -> None:
    assert run("inject", "--in-place", "-o", "x", config).status == 2


def test_into_a_file(run: Run, host: Path, config: Path) -> None:
    expected = run("inject", "--spec-dir", "specs", config).out
    (host / "old.json").write_text("old")
    (host / "old.json").chmod(0o600)
    old_umask = os.umask(0o027)
    try:
        for name, mode in (("new.json", 0o640), ("old.json", 0o600)):
            done = run("inject", "--spec-dir", "specs", config, "-o", name)
            assert (done.status, done.out) == (0, "")
            assert (host / name).read_text() == expected
            assert stat.S_IMODE((host / name).stat().st_mode) == mode
    finally:
        os.umask(old_umask)
    assert run("inject", "--spec-dir", "specs", config, "-o", "-").out == expected


def test_a_device_is_written_to_and_not_replaced(run: Run, config: Path) -> None:
    assert run("inject", "--spec-dir", "specs", config, "-o", "/dev/null").status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_place_that_cannot_be_written(run: Run, config: Path) -> None:
    done = run("inject", "--spec-dir", "specs", config, "-o", "gone/out.json")
    assert (done.status, done.out, done.err) == (1, "", "cdi-hook: gone/out.json: cannot be written: does not exist\n")
