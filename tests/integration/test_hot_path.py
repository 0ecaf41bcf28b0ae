"""What a hot create costs, in counts that no neighbour can change: system calls, bytes read, processes.

Times are the business of ``tests/benchmarks``; the modules that a hot create loads are listed in ``tests/unit/test_layers.py``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from cdi_hook import memory
from cdi_hook.cdi import index, indexwriter
from cdi_hook.cdi.registry import Registry

CONFIG = {"ociVersion": "1.0.2", "process": {"env": ["A=1"], "cwd": "/"}, "annotations": {"cdi.k8s.io/x": "acme.com/gpu=0"}}


class Trace(NamedTuple):
    """What strace saw of one create."""

    calls: int
    """System calls of the wrapper's own process, until it became the runtime."""
    index_bytes: int
    """Bytes read from the index."""
    programs: list[str]
    """Every program that was executed by anybody, in order."""
    forks: int
    """Processes that were made."""


class World:
    """An installed wrapper in front of a runtime that does nothing, and a host with some devices."""

    def __init__(self, base: Path, wrapper: Path) -> None:
        self.base = base
        self.wrapper = wrapper
        self.runtime = base / "runc"
        shutil.copy("/bin/true", self.runtime)

    def create(self, devices: int, *, annotated: bool = True) -> Trace:
        """One create, with the index written, on a host with this many devices."""
        specs = self.base / f"specs-{devices}"
        bundle = self.base / f"bundle-{devices}"
        for directory in (specs, bundle):
            directory.mkdir(exist_ok=True)
        spec = {
            "cdiVersion": "0.6.0",
            "kind": "acme.com/gpu",
            "containerEdits": {"env": ["ALL=1"]},
            "devices": [
                {"name": str(at), "containerEdits": {"env": [f"D{at:06}=1"], "deviceNodes": [{"path": "/dev/null"}]}}
                for at in range(devices)
            ],
        }
        (specs / "acme.json").write_text(json.dumps(spec))
        self._index(specs)
        settings = self.base / f"{devices}.yaml"
        settings.write_text(f"runtime: {self.runtime}\nspecDirs: [{specs}]\n")
        config = {**CONFIG, "annotations": CONFIG["annotations"] if annotated else {}}
        (bundle / "config.json").write_text(json.dumps(config))
        trace = self.base / "trace"
        command = ["strace", "-f", "-o", str(trace), str(self.wrapper), "create", "--bundle", str(bundle), "c1"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CDI_HOOK_CONFIG": str(settings)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        edited = json.loads((bundle / "config.json").read_text())
        assert ("D000000=1" in edited["process"]["env"]) is annotated
        return self._read(trace.read_text())

    def _index(self, specs: Path) -> None:
        started, before = 1 << 62, index.signature([str(specs)])  # dated ahead, so that the new file counts as old
        registry = Registry.discover([str(specs)])
        assert indexwriter.write([str(specs)], before, started, ((name, registry.parts([name])) for name in registry.devices()))

    def _read(self, text: str) -> Trace:
        lines = text.splitlines()
        main = lines[0].split()[0]
        own = [line.split(None, 1)[1] for line in lines if line.split()[0] == main]
        last = max(at for at, call in enumerate(own) if call.startswith("execve("))
        programs = re.findall(r'execve\("([^"]+)".* = 0$', text, re.MULTILINE)
        return Trace(last, self._index_bytes(own), programs, len(re.findall(r"\b(?:clone3?|v?fork)\(", text)))

    def _index_bytes(self, calls: list[str]) -> int:
        read, fd = 0, None
        for call in calls:
            opened = re.match(rf'openat\(AT_FDCWD, "{memory.SYSTEM_HOME}/[^"]*".* = (\d+)$', call)
            if opened:
                fd = opened[1]
            elif fd is not None and re.match(rf"(read|pread64)\({fd}, ", call):
                read += int(call.rpartition(" = ")[2])
            elif call.startswith(f"close({fd})"):
                fd = None
        return read


@pytest.fixture(scope="module")
def world(ground: Path, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    Path(memory.SYSTEM_HOME).mkdir(mode=0o700, exist_ok=True)
    base = ground / "hot-path"
    base.mkdir()
    return World(base, installed)


def test_the_work_for_one_device_does_not_grow_with_the_devices_known(world: World) -> None:
    few, many = world.create(8), world.create(10_000)
    assert few.index_bytes > 0
    assert many.index_bytes <= few.index_bytes * 1.1
    assert many.calls <= few.calls * 1.1


def test_python_makes_no_process_and_the_launcher_one(world: World) -> None:
    trace = world.create(8)
    interpreter = next(at for at, program in enumerate(trace.programs) if "python" in program)
    # Before it the launcher and its one test, behind it the runtime and nothing else.
    assert trace.programs[-1] == str(world.runtime)
    assert len(trace.programs) == interpreter + 2 <= 4
    assert trace.forks <= 1


def test_no_request_no_interpreter(world: World) -> None:
    trace = world.create(8, annotated=False)
    assert not any("python" in program for program in trace.programs)
    assert trace.programs[-1] == str(world.runtime)
