"""``cdi.advice``: the fix fits the cause, and nothing that a person wrote is to be overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdi_hook.cdi import advice
from cdi_hook.errors import StaleError

NVIDIA = "hooks: [{hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, chmod]}]"
CASES = {
    "a directory": ("", "path: /dev/shm", "deviceNodes[0]", "name the nodes in it one by one, or mount the directory"),
    "a directory, generated": (NVIDIA, "path: /dev/shm", "deviceNodes[0]", "name the nodes in it one by one, or mount the directory"),
    "a node that is missing": ("", "path: /dev/none", "deviceNodes[0]", "load the driver, or mend this line of the spec"),
    "a number": (
        "",
        "path: /dev/null",
        "deviceNodes[0].major",
        "load the driver, or take type, major and minor out of the spec: they are then looked up",
    ),
    "a node of a generator": (
        NVIDIA,
        "path: /dev/none",
        "deviceNodes[0]",
        "load the driver, or run nvidia-ctk cdi generate --output={file}",
    ),
    "a mount": ("", "path: /dev/null", "mounts[0].hostPath", "install what is missing, or mend this line of the spec: take the mount out"),
    "a hook": ("", "path: /dev/null", "hooks[0].path", "install what is missing, or mend this line of the spec"),
    "a mount of a generator": (NVIDIA, "path: /dev/null", "mounts[0].hostPath", "run nvidia-ctk cdi generate --output={file}"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["acme.com/gpu", "nvidia.com/gpu"])
def test_fix(tmp_path: Path, case: str, kind: str) -> None:
    """The kind says nothing about who wrote the file."""
    hooks, node, field, fix = CASES[case]
    file = tmp_path / "x.yaml"
    file.write_text(
        f'cdiVersion: "0.6.0"\nkind: {kind}\ndevices:\n- name: a\n  containerEdits:\n    deviceNodes: [{{{node}}}]\n'
        f"    mounts: [{{hostPath: /gone, containerPath: /b, options: [bind]}}]\n    {hooks}\n"
    )
    fault = StaleError("is wrong", file=str(file), field=field, device=f"{kind}=a")
    assert advice.locate(fault).fix == fix.format(file=file)


def test_our_own_generator(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text('# Made by cdi-hook generate serial --output x.yaml\n---\ncdiVersion: "0.6.0"\nkind: acme.com/gpu\n')
    assert advice.generator(str(file), None) == "cdi-hook generate serial --output x.yaml"
    file.write_text("# Made by \x1b[31m\n")
    assert advice.generator(str(file), None) == ""
    assert advice.generator("/nowhere", None) == ""


def test_where(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        'cdiVersion: "0.6.0"\nkind: acme.com/gpu\ncontainerEdits:\n  hooks:\n  - {hookName: poststop, path: /gone}\n'
        "devices:\n- name: a\n  containerEdits:\n    mounts:\n    - hostPath: /gone\n      containerPath: /b\n"
    )
    faults = [
        StaleError("does not exist on this host", file=str(file), field="mounts[0].hostPath", device="acme.com/gpu=a"),
        StaleError("does not exist on this host", file=str(file), field="hooks[0].path"),
    ]
    fix = "does not exist on this host; install what is missing, or mend this line of the spec"
    assert [str(fault) for fault in advice.locate_all(faults)] == [
        f"{file}:10: devices[0].containerEdits.mounts[0].hostPath: {fix}: take the mount out",
        f"{file}:5: containerEdits.hooks[0].path: {fix}",
    ]
