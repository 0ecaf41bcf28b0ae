"""The joined hot file against the modules it was joined from: the same commands, the same everything."""

from __future__ import annotations

import json
import marshal
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}; from cdi_hook.entrypoints.wrapper import main\nsys.exit(main(sys.argv[1:]))"
)
REQUEST = {"cdi.k8s.io/x": "vendor.com/class=a"}
SPEC = """cdiVersion: "0.6.0"
kind: vendor.com/class
devices:
- name: a
  containerEdits:
    env: [A=1]
    mounts: [{hostPath: /etc, containerPath: /mnt, options: [bind, ro]}]
    hooks: [{hookName: createContainer, path: /bin/true}]
"""


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joined file of this tree. Its cold modules and libraries come from a directory that links to the ones in use."""
    directory = tmp_path_factory.mktemp("joined")
    lib = directory / "lib"
    lib.mkdir()
    (lib / "cdi_hook").symlink_to(ROOT / "cdi_hook")
    for name in ("yaml", "_yaml", "pythonjsonlogger"):
        found = next((Path(place) / name for place in sys.path if (Path(place) / name).exists()), None)
        if found:
            (lib / name).symlink_to(found)
    command = [sys.executable, str(ROOT / "packaging/join.py"), "--lib", str(lib), "--output", str(directory / "hot.pyc")]
    subprocess.run(command, check=True)
    return directory / "hot.pyc"


class Bundle:
    """A bundle, settings and a runtime that only says that it was started."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.specs = directory / "specs"
        self.specs.mkdir()
        (self.specs / "vendor.yaml").write_text(SPEC)
        self.runtime = directory / "runc"
        self.runtime.write_text('#!/bin/sh\necho started "$@"\nexit 7\n')
        self.runtime.chmod(0o755)
        self.settings = directory / "settings.yaml"
        self.settings.write_text(f"runtime: {self.runtime}\nspecDirs: [{self.specs}]\n")
        self.config = directory / "config.json"
        self.log = directory / "log"

    def run(self, start: list[str], argv: list[str]) -> dict[str, object]:
        """Everything that one run leaves behind, with this directory's name and the time taken out."""
        environment = {"PATH": "/usr/bin:/bin", "CDI_HOOK_CONFIG": str(self.settings), "XDG_RUNTIME_DIR": str(self.directory)}
        words = [*start, "/usr/local/bin/cdi-runtime", *argv]
        done = subprocess.run(
            words, cwd=self.directory, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        files = {path.name: path.read_text() for path in (self.config, self.log) if path.is_file()}
        text = json.dumps({"status": done.returncode, "out": done.stdout, "err": done.stderr, **files})
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text.replace(str(self.directory), "DIR"))
        found: dict[str, object] = json.loads(text)
        return found


CREATE = "--root /r --log {log} --log-format json create --bundle {bundle} c1"
CASES = {
    "state": ("", "--root /r state c1", 7),
    "no arguments": ("", "", 7),
    "no config": ("", CREATE, 7),
    "no request": ('{"annotations": {"a": "b"}}', CREATE, 7),
    "request": (json.dumps({"annotations": REQUEST, "process": {"env": []}}), CREATE, 7),
    "twice the same": (json.dumps({"annotations": {**REQUEST, "cdi.k8s.io/y": "vendor.com/class=a"}}), CREATE, 7),
    "sandbox": (json.dumps({"annotations": {**REQUEST, "io.kubernetes.cri.container-type": "sandbox"}}), CREATE, 7),
    "unresolved": (json.dumps({"annotations": {"cdi.k8s.io/x": "vendor.com/class=b"}}), CREATE, 1),
    "bad name": (json.dumps({"annotations": {"cdi.k8s.io/x": "vendor"}}), CREATE, 1),
    "bad JSON": ('{"annotations": {"cdi.k8s.io/x": "vendor.com/class=a"}, "a": NaN}', CREATE, 1),
    "twice the key": ('{"annotations": {"cdi.k8s.io/x": "vendor.com/class=a"}, "annotations": {}}', CREATE, 1),
    "readings disagree": (json.dumps({"annotations": REQUEST}), "--shiny create kill --bundle {bundle}", 1),
    "text log": ('{"annotations": {"cdi.k8s.io/x": "vendor"}}', "--log {log} create --bundle {bundle} c1", 1),
}


@pytest.mark.parametrize("case", CASES)
def test_joined_file_and_modules_do_the_same(hot: Path, tmp_path: Path, case: str) -> None:
    config, argv, status = CASES[case]
    seen = []
    for name, start in (("joined", [str(hot)]), ("modules", ["-c", MODULES])):
        bundle = Bundle(tmp_path / name)
        if config:
            bundle.config.write_text(config)
        words = argv.format(bundle=bundle.directory, log=bundle.log).split()
        seen.append(bundle.run([sys.executable, "-I", "-S", *start], words))
    assert seen[0] == seen[1]
    assert seen[0]["status"] == status, seen[0]


def test_settings_fault_through_a_cold_module(hot: Path, tmp_path: Path) -> None:
    """The error that a cold module raises is the hot modules' own class: it stops a create in one line, and no kill."""
    bundle = Bundle(tmp_path / "bundle")
    bundle.settings.write_text(f"runtime: {bundle.runtime}\nunknown: 1\n")
    start = [sys.executable, "-I", "-S", str(hot)]
    assert bundle.run(start, ["kill", "c1"])["status"] == 7
    seen = bundle.run(start, ["create", "c1"])
    assert (seen["status"], seen["out"]) == (1, "")
    assert str(seen["err"]).startswith("cdi-hook: DIR/settings.yaml:2: unknown: ")
    assert str(seen["err"]).count("\n") == 1


def test_nothing_is_imported(hot: Path, tmp_path: Path) -> None:
    """On the hot path no file is searched for and opened but the joined one (and the C JSON scanner): strace would show it."""
    bundle = Bundle(tmp_path / "bundle")
    code = (
        "import sys, marshal\n"
        f"sys.argv = ['hot', '/x', 'state', 'c1']\n"
        "before = set(sys.modules)\n"
        "import posix\n"
        "posix.execv = lambda *words: (print(*sorted(set(sys.modules) - before), flush=True), posix._exit(0))\n"
        f"exec(marshal.loads(open({str(hot)!r}, 'rb').read()[16:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env={"CDI_HOOK_CONFIG": str(bundle.settings)}, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert {name for name in loaded if not name.startswith("cdi_hook")} <= {"_json", "binascii", "errno", "gc"}
    assert "cdi_hook.cdi.registry" not in loaded
    assert not {"__future__", "json", "re", "os", "typing"} & set(loaded)


def test_modules_come_before_those_that_need_them(hot: Path) -> None:
    command = [sys.executable, str(ROOT / "packaging/join.py"), "--lib", str(ROOT), "--output", os.devnull, "--list"]
    order = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert order[0] == "errors"
    assert order[-1] == "entrypoints.wrapper"
    assert len(order) == len(set(order))
    for at, module in enumerate(order):
        needed: set[str] = set()
        text = (ROOT / "cdi_hook" / f"{module.replace('.', '/')}.py").read_text()
        for base, names in re.findall(r"^from cdi_hook\.?([\w.]*) import ([\w, ]+)", text, re.M):
            whole = {f"{base}.{name}".lstrip(".") for name in names.split(", ")}
            needed |= whole if (ROOT / "cdi_hook" / base).is_dir() else {base}
        assert needed <= set(order[:at]), module


def test_nothing_to_read_but_code(hot: Path) -> None:
    """No docstring, no annotation, and no path of this tree in the joined file."""
    data = hot.read_bytes()
    assert b"Row 2, hot" not in data
    assert str(ROOT).encode() not in data
    assert marshal.loads(data[16:]).co_filename == "cdi-runtime"
