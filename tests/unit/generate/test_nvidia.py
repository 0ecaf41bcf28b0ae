"""``cdi_hook.generate.nvidia``, with a script in the tool's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdi_hook import generate_nvidia_spec
from cdi_hook.errors import CdiError, FaultsError

_SPEC = """\
---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``nvidia-ctk`` on PATH that shows what it is given, to be overwritten."""
    path = tmp_path / "nvidia-ctk"
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return path


def _says(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")


def test_the_spec_that_the_tool_prints(tool: Path) -> None:
    _says(tool, f"[ \"$*\" = 'cdi generate' ] || exit 9\necho 'level=info msg=looking' >&2\ncat <<'EOF'\n{_SPEC}EOF")
    assert generate_nvidia_spec() == {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}],
        "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"]},
    }
    assert generate_nvidia_spec(str(tool))["kind"] == "nvidia.com/gpu"


def _refused(*, timeout: float = 60.0, tool: str = "nvidia-ctk") -> str:
    with pytest.raises(CdiError) as caught:
        generate_nvidia_spec(tool, timeout=timeout)
    return str(caught.value)


def test_no_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _refused() == "nvidia-ctk is not there; install the NVIDIA Container Toolkit, or name the tool's path"


def test_it_fails_and_says_why_on_its_last_line(tool: Path) -> None:
    _says(tool, "echo looking >&2\necho 'failed to initialize NVML' >&2\nexit 3")
    assert _refused() == f"{tool} cdi generate: exit status 3: failed to initialize NVML"
    _says(tool, "exit 1")
    assert _refused() == f"{tool} cdi generate: exit status 1: it says nothing"


def test_it_takes_too_long(tool: Path) -> None:
    _says(tool, "exec sleep 60")
    assert _refused(timeout=0.2) == f"{tool} cdi generate: took more than 0.2 s and was stopped"


def test_it_cannot_be_started(tool: Path) -> None:
    tool.write_text("#!/nowhere/interpreter\n", encoding="utf-8")
    assert _refused().startswith(f"{tool} cdi generate: does not exist; install ")


def test_it_prints_no_valid_spec(tool: Path) -> None:
    _says(tool, "echo 'kind: nvidia.com/gpu'")
    with pytest.raises(CdiError) as caught:
        generate_nvidia_spec()
    faults = caught.value.faults if isinstance(caught.value, FaultsError) else [caught.value]
    assert {fault.file for fault in faults} == {f"output of {tool} cdi generate"}
