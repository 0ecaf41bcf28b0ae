"""``cdi.lint``: each rule on what it is for, and on what looks like it and is right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.cdi import lint, specfile
from cdi_hook.cdi.registry import Registry
from tests.unit.specs import spec_text, write_files

HEAD = 'cdiVersion: "0.6.0"\nkind: acme.com/gpu\n'


def found(text: str, file: str = "f.yaml") -> list[str]:
    data = text.encode()
    loaded = specfile.parse(data, file=file)
    assert loaded.faults == []
    return [str(warning) for warning in lint.warnings(loaded, data, file=file)]


def device(edits: str) -> str:
    return f"{HEAD}devices:\n- name: a\n  containerEdits:\n    {edits}\n"


SECOND = (
    "begins a second document, which no reader of CDI looks at: the devices in it do not exist; put each document into a file of its own"
)


@pytest.mark.parametrize(
    ("more", "line"), [("---\nkind: x\n", 7), ("...\n---\n", 8), ("--- {}\n", 7), ("---\n{", 7), ("...\n%YAML 1.1\n---\n", 8)]
)
def test_a_second_document(more: str, line: int) -> None:
    assert found(device("env: [A=1]") + more) == [f"f.yaml:{line}: {SECOND}"]


@pytest.mark.parametrize("text", ["---\n" + device("env: [A=1]"), device("env: [A=1]") + "...\n", device('env: ["A=\\n---\\n"]')])
def test_one_document(text: str) -> None:
    assert found(text) == []


FIELD = "devices[0].containerEdits"
RULES = {
    "a comment in JSON": ('env: ["A=1", // or b\n      "B=2"]', "env[1]", "has a comment of JavaScript in its value"),
    "a comment behind": ("env: [A=1 // first\n      ]", "env[0]", "has a comment of JavaScript in its value"),
    "a block comment": ("env: ['A=1 /* x */']", "env[0]", "has a comment of JavaScript in its value"),
    "a placeholder": ("env: ['A=${HOME}']", "env[0]", "still has the placeholder ${HOME}"),
    "a template": (
        "mounts: [{hostPath: '/opt/{{ .Version }}', containerPath: /b, options: [bind]}]",
        "mounts[0].hostPath",
        "{{ .Version }}",
    ),
    "a template without a value": ("env: ['A=<no value>']", "env[0]", "<no value>"),
    "a name with a blank": ("env: ['A B=1']", "env[0]", "sets a variable whose name is none"),
    "a name with a digit first": ("env: ['1A=1']", "env[0]", "sets a variable whose name is none"),
    "a name with a quote": ("env: ['\"A=1\"']", "env[0]", "sets a variable whose name is none"),
    "no bind": ("mounts: [{hostPath: /a, containerPath: /b, options: [ro]}]", "mounts[0].options", "names neither a file system nor bind"),
    "no bind, no options": ("mounts: [{hostPath: /a, containerPath: /b}]", "mounts[0]", "names neither a file system nor bind"),
}


@pytest.mark.parametrize("case", RULES)
def test_a_rule(case: str) -> None:
    edits, field, words = RULES[case]
    warning = found(device(edits))[0]
    assert f": {FIELD}.{field}: " in warning
    assert words in warning


RIGHT = {
    "an address": "env: ['A=http://x/y//z', 'B=a//b', 'C=//server/share']",
    "names": "env: [_A=1, a1=2, ABC_9=]",
    "a script": "hooks: [{hookName: poststop, path: /bin/sh, args: [sh, -c, 'echo ${A} {{x}}']}]",
    "shell's own": "env: ['A=$HOME', 'B={x}', 'C=%{y}']",
    "bound": "mounts: [{hostPath: /a, containerPath: /b, options: [rbind]}]",
    "a file system": "mounts: [{hostPath: t, containerPath: /b, type: tmpfs}]",
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right(case: str) -> None:
    assert found(device(RIGHT[case]).replace('"0.6.0"', '"0.6.0"')) == []


@pytest.mark.parametrize(("kind", "part"), [("a/gpu", 'the vendor "a"'), ("acme.com/x", 'the class "x"')])
def test_one_letter(kind: str, part: str) -> None:
    (warning,) = found(device("env: [A=1]").replace("acme.com/gpu", kind))
    why = "CRI-O does not start with such a file, and containerd fails each create"
    assert warning == f"f.yaml:2: kind: {part} has one letter: {why}; choose a longer name"


def test_names_that_differ_by_case() -> None:
    text = f"{HEAD}devices:\n- name: gpu0\n  containerEdits: {{env: [A=1]}}\n- name: GPU0\n  containerEdits: {{env: [A=1]}}\n"
    assert found(text) == ['f.yaml:6: devices[1].name: "GPU0" differs from "gpu0" only by case; whoever asks for one may mean the other']


def test_names_of_several_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.yaml": spec_text(devices="x"), "b.yaml": spec_text("ACME.com/gpu", "X y"), "c.yaml": spec_text(devices="y")})
    assert sorted(str(warning).replace(f"{tmp_path}/", "") for warning in lint.between(Registry.discover([tmp_path]).specs)) == [
        "b.yaml:4: ACME.com/gpu=X differs from acme.com/gpu=x of a.yaml only by case; whoever asks for one may mean the other",
        "c.yaml:4: acme.com/gpu=y differs from ACME.com/gpu=y of b.yaml only by case; whoever asks for one may mean the other",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_others_than_root_can_replace(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name in ("lib", "hook"):
        (tmp_path / "open" / name).symlink_to("/bin/sh")
    edits = (
        f"mounts: [{{hostPath: {tmp_path}/open/lib, containerPath: /b, options: [bind]}}]\n"
        f"    hooks: [{{hookName: createRuntime, path: {tmp_path}/open/hook}}, {{hookName: startContainer, path: {tmp_path}/open/hook}}]"
    )
    why = f"{tmp_path}/open is writable by everybody; let it and its directories belong to root alone"
    assert [warning.partition(f"{FIELD}.")[2] for warning in found(device(edits))] == [
        f"mounts[0].hostPath: {tmp_path}/open/lib is shown to containers, and others than root can replace it: {why}",
        f"hooks[0].path: {tmp_path}/open/hook runs as root, and others than root can replace it: {why}",
    ]


def test_what_concerns_a_device(tmp_path: Path) -> None:
    devices: list[dict[str, Any]] = [{"name": name, "containerEdits": {"env": [f"{name} x=1"]}} for name in ("a", "b")]
    write_files(tmp_path, {"a.json": str({"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": devices}).replace("'", '"')})
    registry = Registry.discover([tmp_path])
    assert [warning.field for warning in lint.of_devices(registry, ["acme.com/gpu=b"])] == ["devices[1].containerEdits.env[0]"]
    assert lint.of_devices(registry, []) == []
