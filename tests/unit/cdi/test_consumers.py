"""``cdi.consumers``: which library an engine has, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.cdi import consumers
from cdi_hook.errors import CdiError

CONSUMERS = {
    "containerd-1.7": ("containerd 1.7", "0.8.1", "0.8.0"),
    "containerd-1.7.0": ("containerd 1.7.0", "0.5.4", "0.5.0"),
    "containerd-1.7.13": ("containerd 1.7.13", "0.6.2", "0.6.0"),
    "containerd-v1.7.24": ("containerd 1.7.24", "0.7.2", "0.7.0"),
    "containerd-2": ("containerd 2", "1.1.0", "1.1.0"),
    "containerd-2.1.9": ("containerd 2.1.9", "1.0.1", "1.0.0"),
    "containerd": ("containerd", "1.1.0", "1.1.0"),
    "crio": ("crio", "1.1.0", "1.1.0"),
    "cri-o-1.29.3": ("crio 1.29.3", "0.6.2", "0.6.0"),
    "crio-1.32": ("crio 1.32", "0.8.0", "0.8.0"),
    "crio-9.9": ("crio 9.9", "1.1.0", "1.1.0"),
    "podman-4.9": ("podman 4.9", "0.6.2", "0.6.0"),
    "podman-4.9.3": ("podman 4.9.3", "0.6.2", "0.6.0"),
    "podman-5.4.2": ("podman 5.4.2", "0.8.0", "0.8.0"),
    "docker-25": ("docker 25", "0.6.2", "0.6.0"),
    "docker-28": ("docker 28", "1.0.1", "1.0.0"),
    "docker-28.0.1": ("docker 28.0.1", "0.8.0", "0.8.0"),
    "docker-28.5.2-rc.1": ("docker 28.5.2-rc.1", "1.0.1", "1.0.0"),
    "cdi-library-0.7.1": ("cdi-library 0.7.1", "0.7.1", "0.7.0"),
}


@pytest.mark.parametrize("text", CONSUMERS)
def test_the_library_of_a_reader(text: str) -> None:
    assert tuple(consumers.consumer(text)) == CONSUMERS[text]


@pytest.mark.parametrize(
    "text", ["", "kubelet", "docker-24", "containerd-1.6.20", "cdi-library-9.9", "cdi-library", "podman-x", "Docker-25"]
)
def test_a_reader_that_is_unknown(text: str) -> None:
    with pytest.raises(CdiError, match=r"known (are|is) "):
        consumers.consumer(text)


def spec(version: str, kind: str = "acme.com/gpu", **edits: Any) -> dict[str, Any]:
    return {"cdiVersion": version, "kind": kind, "devices": [{"name": "0", "containerEdits": edits}], "containerEdits": {}}


REFUSED = {
    "nothing": (spec("0.6.0", env=["A=1"]), "podman-4.9", []),
    "a version that it knows, with v": (spec("v0.5.0", env=["A=1"]), "podman-4.9", []),
    "a newer version": (spec("1.0.0", env=["A=1"]), "podman-4.9", ["cdiVersion"]),
    "a newer field": (spec("0.7.0", additionalGids=[44]), "podman-4.9", ["cdiVersion", "devices[0].containerEdits.additionalGids"]),
    "a newer field that is empty": (spec("0.6.0", additionalGids=[]), "podman-4.9", []),
    "a field of a field": (
        spec("1.1.0", intelRdt={"closID": "a", "schemata": ["L3:0=f"]}),
        "docker-28",
        ["cdiVersion", "devices[0].containerEdits.intelRdt.schemata"],
    ),
    "a field that has gone": (spec("0.7.0", intelRdt={"enableCMT": True}), "crio-1.35", ["devices[0].containerEdits.intelRdt.enableCMT"]),
    "it knows all": (spec("1.1.0", netDevices=[{"hostInterfaceName": "a", "name": "b"}]), "containerd-2.3", []),
    "a vendor of one letter": (spec("0.6.0", "a/gpu", env=["A=1"]), "crio", ["kind"]),
    "a class of one letter": (spec("0.6.0", "acme.com/x", env=["A=1"]), "containerd-1.7", ["kind"]),
    "one letter, mended": (spec("0.6.0", "acme.com/x", env=["A=1"]), "cdi-library-1.1.1", []),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_reader_refuses(case: str) -> None:
    given, reader, fields = REFUSED[case]
    assert [field for field, _, _ in consumers.refusals(given, consumers.consumer(reader))] == fields


def test_the_words() -> None:
    (version, field) = consumers.refusals(spec("0.7.0", additionalGids=[44]), consumers.consumer("podman-4.9"))
    says = "podman 4.9 (CDI library 0.6.2)"
    assert version == (
        "cdiVersion",
        f"is 0.7.0, and {says} knows CDI up to 0.6.0: it refuses the file",
        "leave the fields out that it does not know",
    )
    assert field[1:] == (
        f"came with CDI 0.7.0, and {says} refuses a file with a field that it does not know",
        "leave it out for this reader",
    )
