"""``explain``: the page for people, the report for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.cli import explain, output
from tests.unit.cli.conftest import Run
from tests.unit.specs import BROKEN, write_files

GPU = """\
cdiVersion: 0.6.0
kind: acme.com/gpu
containerEdits:
  env: [GPU=void]
  mounts:
  - {hostPath: /etc/hostname, containerPath: /usr/lib/gpu.so, options: [ro, bind]}
  hooks:
  - {hookName: createContainer, path: /bin/true, args: [acme-hook, update-ldcache]}
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null}]
- name: "1"
  containerEdits:
    deviceNodes: [{path: /dev/gpu1, hostPath: /dev/zero, permissions: r}]
"""
CONFIG: dict[str, Any] = {
    "process": {"env": ["GPU=all"], "user": {"uid": 1000, "gid": 1000}},
    "mounts": [{"destination": "/usr/lib/gpu.so", "source": "/old"}],
    "annotations": {"cdi.k8s.io/pod": "acme.com/gpu=0", "nvidia.cdi.k8s.io/x": "acme.com/gpu=0"},
}

PAGE = """\
The container starts, with 4 edits.

config     config.json
runtime    /h/runc (runc 1.1.5)
specs      /h/specs (1 spec)

Requested
  + acme.com/gpu=0  by annotation cdi.k8s.io/pod
           /h/specs/gpu.yaml:10
  - acme.com/gpu=0  by annotation nvidia.cdi.k8s.io/x, once more: it counts once

Edits, in the order in which they are made
  ~ env    GPU=void
           gpu.yaml:4 containerEdits.env[0]
           replaces GPU=all
  + node   /dev/gpu0 c 1:3 0666 of 1000:1000 from /dev/null, cgroup rwm
           gpu.yaml:12 devices[0].containerEdits.deviceNodes[0]
  ~ mount  /etc/hostname at /usr/lib/gpu.so (ro,bind)
           gpu.yaml:6 containerEdits.mounts[0]
           replaces the mount of /old there
           gets the type bind: crun crashes without one in a user namespace
  + hook   createContainer /bin/true update-ldcache
           gpu.yaml:8 containerEdits.hooks[0]
           gets an environment of PATH alone: it names none, and runc before 1.3
           would then give it the image's

Can the container's user 1000:1000 open them?
  + /dev/gpu0 crw-rw-rw- 1000:1000: read and write (the node's owner)

The container starts, with 4 edits.

--- config.json
+++ config.json (edited)
@@ -1,7 +1,7 @@
 {
   "process": {
     "env": [
-      "GPU=all"
+      "GPU=void"
     ],
"""


@pytest.fixture
def gpu(host: Path) -> Path:
    for old in (host / "specs").iterdir():
        old.unlink()
    write_files(
        host,
        {"specs/gpu.yaml": GPU, "config.json": json.dumps(CONFIG), "runc": "#!/bin/sh\n[ $1 = --version ] && echo runc version 1.1.5\n"},
    )
    (host / "runc").chmod(0o755)
    (host / "config.yaml").write_text(f"runtime: {host}/runc\nspecDirs: [{host}/specs]\n")
    return host


def test_the_page(run: Run, gpu: Path) -> None:
    done = run("explain", "--format", "json", "config.json")
    # The page is laid out for 80 columns; the name of the test's directory must not change that.
    report = json.loads(done.out.replace(str(gpu), "/h"))
    page = "".join(f"{line}\n" for line in explain.page(report))
    assert page.startswith(PAGE), page
    assert run("explain", "config.json").out.startswith("The container starts, with 4 edits.\n\nconfig     config.json\nruntime ")


def test_no_line_is_wider_than_the_terminal(run: Run, gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gpu)
    for columns in (80, 60, 132):
        monkeypatch.setenv("COLUMNS", str(columns))
        done = run("explain", "--spec-dir", "specs", "--no-diff", "config.json", "acme.com/gpu=*")
        too_wide = [line for line in done.out.splitlines() if len(line) > columns]
        # A single word, such as a path, may be.
        assert [line for line in too_wide if len(line.split()) > 2] == []


def test_the_report(run: Run, gpu: Path) -> None:
    report = run("explain", "--format", "json", "config.json").json()
    assert report["verdict"] == "edited"
    assert report["runtime"] == {"path": f"{gpu}/runc", "family": "runc", "version": "runc 1.1.5"}
    assert [(edit["kind"], edit["line"], edit["state"]) for edit in report["edits"]] == [
        ("env", 4, "applied"),
        ("node", 12, "applied"),
        ("rule", 12, "applied"),
        ("mount", 6, "applied"),
        ("hook", 8, "applied"),
    ]
    assert report["diff"].startswith("--- config.json\n")
    assert run("explain", "--format", "json", "--no-diff", "config.json").json()["diff"] == ""


def test_a_bundle_and_devices_of_ones_own(run: Run, gpu: Path) -> None:
    done = run("explain", gpu, "acme.com/gpu=1", "--no-diff")
    assert f"config     {gpu}/config.json\n" in done.out
    assert "  + acme.com/gpu=1  by the command line\n" in done.out
    assert "  ! /dev/gpu1 crw-rw-rw- 1000:1000: read (the node's owner; the cgroup rule\n    allows less)\n" in done.out
    assert done.out.endswith("The container starts, with 4 edits.\n")


def test_a_device_alone_stands_for_an_empty_config(run: Run, gpu: Path) -> None:
    done = run("explain", "acme.com/gpu=*", "--no-diff")
    assert done.out.startswith("The container starts, with 5 edits.\n\nconfig     empty\n")
    assert "  + acme.com/gpu=0  by the command line\n" in done.out
    assert "  + acme.com/gpu=1  by the command line\n" in done.out
    assert run("explain", "acme.com/gpu=0", "--no-diff").status == 0


def test_a_refusal(run: Run, gpu: Path) -> None:
    write_files(gpu, {"specs/broken.yaml": BROKEN})
    done = run("explain", "config.json", "acme.com/gpu=0", "acme.com/gpu=7")
    assert (done.status, done.err) == (1, "")
    assert "broken     " in done.out
    assert "  ! acme.com/gpu=7  by the command line\n           no spec that loads defines it\n" in done.out
    assert done.out.startswith("The container does not start:\n    acme.com/gpu=7 is not known;")
    head, _, tail = done.out.rpartition("\nThe container does not start:\n")
    assert "+ node   /dev/gpu0" in head
    assert " ".join(tail.split()).startswith("acme.com/gpu=7 is not known; ")
    assert "@@" not in done.out


def test_nothing_to_do(run: Run, gpu: Path) -> None:
    (gpu / "config.json").write_text("{}")
    done = run("explain", "config.json")
    assert done.status == 0
    assert done.out.endswith(
        "\nThe config stays as it is:\n    nothing is requested: no annotation begins with cdi.k8s.io/ or\n    nvidia.cdi.k8s.io/\n"
    )


def test_what_the_config_holds_and_what_is_beaten(run: Run, gpu: Path) -> None:
    edited = run("inject", "--as-wrapper", "config.json").out
    (gpu / "config.json").write_text(edited)
    done = run("explain", "config.json")
    assert "  = env    GPU=void\n           gpu.yaml:4 containerEdits.env[0]\n           the config has it already\n" in done.out
    assert done.out.endswith("\nThe config stays as it is:\n    the config holds every edit already\n")


def test_what_the_runtime_would_drop(run: Run, gpu: Path) -> None:
    edits = "{netDevices: [{hostInterfaceName: eth1, name: net0}]}"
    net = f"cdiVersion: 1.1.0\nkind: acme.com/net\ndevices:\n- name: a\n  containerEdits: {edits}\n"
    write_files(gpu, {"specs/net.yaml": net})
    done = run("explain", "acme.com/net=a")
    assert done.status == 1
    words = " ".join(done.out.split())
    assert "! net device eth1: this runtime would drop it in silence; it needs runc 1.4.0 or crun 1.22 (this is runc 1.1.5)" in words


def test_without_a_runtime(run: Run, gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gpu / "config.yaml").write_text(f"specDirs: [{gpu}/specs]\n")
    monkeypatch.setenv("PATH", "/nowhere")
    done = run("explain", "config.json")
    assert (done.status, done.err) == (0, "")
    assert "runtime    none is found\n" in done.out


def test_colour_is_for_terminals(run: Run, gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in run("explain", "config.json").out
    monkeypatch.setattr(output, "coloured", lambda: True)
    done = run("explain", "config.json")
    assert '\x1b[31m-      "GPU=all"\x1b[0m\n\x1b[32m+      "GPU=void"\x1b[0m\n' in done.out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme.com/gpu=0", True),
        ("acme.com/gpu=*", True),
        ("*/gpu=0", True),
        ("config.json", False),
        ("/run/x=y/config.json", False),
        ("-", False),
    ],
)
def test_what_is_a_device(host: Path, text: str, expected: bool) -> None:
    assert explain.is_device(text) is expected


def test_a_file_with_the_name_of_a_device_is_a_file(run: Run, gpu: Path) -> None:
    write_files(gpu, {"acme.com/gpu=0": "{}"})
    assert explain.is_device("acme.com/gpu=0") is False


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("env", "A=1", "A=1"),
        ("gid", 44, "44"),
        ("node", {"type": "c", "major": 1, "minor": 3}, "the node there (c 1:3)"),
        ("mount", {"destination": "/x"}, "the mount of nothing there"),
        ("rdt", {"closID": "x"}, '{"closID":"x"}'),
    ],
)
def test_what_is_replaced(kind: str, value: object, words: str) -> None:
    assert explain.replaced(kind, value) == words


def real(host: Path, mounts: int, hooks: int) -> None:
    """A spec as generators write them: many mounts and hooks, all alike."""
    edits = {
        "mounts": [{"hostPath": "/etc", "containerPath": f"/m/{at}", "options": ["ro", "rbind"]} for at in range(mounts)],
        "hooks": [
            {"hookName": "createContainer", "path": "/bin/true", "args": ["true", *(f"--link=a::{at}" for at in range(60))]}
            for _ in range(hooks)
        ],
    }
    spec = {"cdiVersion": "0.6.0", "kind": "real.com/gpu", "devices": [{"name": "0", "containerEdits": edits}]}
    write_files(host, {"specs/real.json": json.dumps(spec)})


def test_a_real_spec_is_folded(run: Run, gpu: Path) -> None:
    real(gpu, 35, 2)
    write_files(gpu, {f"specs/broken{at}.yaml": BROKEN for at in range(3)})
    page = run("explain", "--no-diff", "real.com/gpu=0").out
    words = " ".join(page.split())
    assert page.startswith("The container starts, with 36 edits.\n\n")
    assert page.endswith("\nThe container starts, with 36 edits.\n")
    assert "broken 3 faults in other files; cdi-hook validate tells them, and so does --full" in words
    assert words.count("crun crashes without one") == 1
    assert "* 35 mounts: each gets the type bind: crun crashes without one in a user namespace" in words
    assert "createContainer /bin/true --link=a::0 --link=a::1 --link=a::2 … and 57 more arguments" in words
    assert "--link=a::3" not in words
    full = " ".join(run("explain", "--no-diff", "--full", "real.com/gpu=0").out.split())
    assert (full.count("crun crashes without one"), full.count("--link=a::59"), full.count("broken3")) == (35, 2, 0)
    assert full.count(".yaml:3: devices: ") == 3


def test_a_request_that_stands_there_many_times(run: Run, gpu: Path) -> None:
    """A hundred thousand of them are one line, and are looked up once."""
    annotations = {f"cdi.k8s.io/{at}": "acme.com/gpu=0" for at in range(1000)}
    (gpu / "config.json").write_text(json.dumps({"annotations": annotations}))
    page = run("explain", "--no-diff", "config.json").out
    assert page.count("acme.com/gpu=0") == 1
    assert "  - 999 more requests for these: each counts once\n" in page
