"""A spec against the host as it is now."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.pipeline import stale

HOST: dict[str, tuple[str, int, int, int]] = {
    "/dev/char": ("c", 10, 229, 0o600),
    "/dev/block": ("b", 8, 1, 0o660),
    "/dev/fifo": ("p", 0, 0, 0o600),
    "/dev/file": ("", 0, 0, 0o644),
}
THERE = ("/there", "/bin/hook")
A = ("/etc/cdi/a.yaml", "")
A0 = ("/etc/cdi/a.yaml", "acme.com/gpu=0")


def found(edits: Any) -> list[tuple[str, str]]:
    return [(fault.field, fault.reason) for fault in stale.check([(A0, edits)], HOST.get, lambda path: path in THERE)]


@pytest.mark.parametrize(
    ("node", "faults"),
    [
        pytest.param({"path": "/dev/char"}, [], id="nothing stated"),
        pytest.param({"path": "/dev/none"}, [], id="nothing stated and nothing there: not ours to judge"),
        pytest.param({"path": "/dev/char", "type": "c", "major": 10, "minor": 229}, [], id="all true"),
        pytest.param({"path": "/dev/char", "type": "c"}, [], id="type true"),
        pytest.param({"path": "/dev/char", "type": "u", "major": 10, "minor": 229}, [], id="u is another word for c"),
        pytest.param({"path": "/dev/fifo", "type": "p"}, [], id="fifo"),
        pytest.param({"path": "/dev/none", "type": "c", "major": 10, "minor": 229}, [], id="the host lacks it: legal"),
        pytest.param({"path": "/dev/file", "type": "c", "major": 10, "minor": 229}, [], id="no device node there: as lacking"),
        pytest.param({"path": "/dev/char", "minor": 5}, [], id="a minor without a major does not count"),
        pytest.param(
            {"path": "/dev/char", "type": "b", "major": 10, "minor": 229},
            [("type", "/dev/char is of type c on this host, not b")],
            id="type",
        ),
        pytest.param(
            {"path": "/dev/fifo", "type": "c", "major": 1}, [("type", "/dev/fifo is of type p on this host, not c")], id="a fifo there"
        ),
        pytest.param(
            {"path": "/dev/char", "type": "c", "major": 11, "minor": 229},
            [("major", "/dev/char has major 10 on this host, not 11")],
            id="major",
        ),
        pytest.param(
            {"path": "/dev/char", "major": 10, "minor": 1}, [("minor", "/dev/char has minor 229 on this host, not 1")], id="minor"
        ),
        pytest.param(
            {"path": "/dev/char", "major": 10}, [("minor", "/dev/char has minor 229 on this host, not 0")], id="no minor is minor 0"
        ),
        pytest.param(
            {"path": "/dev/x", "hostPath": "/dev/block", "type": "b", "major": 9, "minor": 2},
            [("major", "/dev/block has major 8 on this host, not 9"), ("minor", "/dev/block has minor 1 on this host, not 2")],
            id="by host path, both numbers",
        ),
    ],
)
def test_nodes(node: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert found({"deviceNodes": [{"path": "/dev/none"}, node]}) == [(f"deviceNodes[1].{field}", reason) for field, reason in faults]


@pytest.mark.parametrize(
    ("mount", "faulty"),
    [
        pytest.param({"hostPath": "/there", "type": "bind"}, False, id="there"),
        pytest.param({"hostPath": "/gone", "type": "bind"}, True, id="bind by type"),
        pytest.param({"hostPath": "/gone", "options": ["ro", "bind"]}, True, id="bind by option"),
        pytest.param({"hostPath": "/gone", "options": ["rbind"]}, True, id="rbind"),
        pytest.param({"hostPath": "tmpfs", "type": "tmpfs"}, False, id="not a bind mount"),
        pytest.param({"hostPath": "/gone", "type": "overlay", "options": ["lowerdir=/x"]}, False, id="another type"),
    ],
)
def test_mounts(mount: dict[str, Any], faulty: bool) -> None:
    expected = [("mounts[0].hostPath", "/gone does not exist on this host")] if faulty else []
    assert found({"mounts": [{"containerPath": "/c", **mount}]}) == expected


@pytest.mark.parametrize(
    ("stage", "path", "faulty"),
    [
        ("createContainer", "/bin/hook", False),
        *((stage, "/gone", True) for stage in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")),
        ("startContainer", "/gone", False),
    ],
)
def test_hooks(stage: str, path: str, faulty: bool) -> None:
    expected = [("hooks[0].path", "/gone does not exist on this host")] if faulty else []
    assert found({"hooks": [{"hookName": stage, "path": path}]}) == expected


def test_every_fault_with_its_origin_in_order() -> None:
    spec: Any = {"mounts": [{"hostPath": "/gone", "containerPath": "/c", "type": "bind"}]}
    device: Any = {
        "hooks": [{"hookName": "prestart", "path": "/gone"}],
        "mounts": [{"hostPath": "/gone", "containerPath": "/c", "type": "bind"}],
        "deviceNodes": [{"path": "/dev/char", "type": "b"}],
    }
    faults = stale.check([(A, spec), (A0, device)], HOST.get, lambda path: False)
    assert [(fault.file, fault.device, fault.field) for fault in faults] == [
        ("/etc/cdi/a.yaml", "", "mounts[0].hostPath"),
        ("/etc/cdi/a.yaml", "acme.com/gpu=0", "deviceNodes[0].type"),
        ("/etc/cdi/a.yaml", "acme.com/gpu=0", "mounts[0].hostPath"),
        ("/etc/cdi/a.yaml", "acme.com/gpu=0", "hooks[0].path"),
    ]
    assert str(faults[0]) == "/etc/cdi/a.yaml: mounts[0].hostPath: /gone does not exist on this host"


def test_nothing_to_check() -> None:
    assert stale.check([], HOST.get, lambda path: False) == []
    assert found({}) == []
