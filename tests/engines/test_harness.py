"""The harness itself: each engine runs a container with its own runtime, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import BUSYBOX, Containerd, Dockerd, Images, Podman, missing, mounts, processes


@pytest.mark.skipif(bool(missing("containerd", "ctr", "curl")), reason=missing("containerd", "ctr", "curl"))
def test_containerd_runs_and_ends(engines_work: Path, images: Images) -> None:
    """Through ctr and through the CRI."""
    work = engines_work / "harness-containerd"
    with Containerd(work, images) as engine:
        assert engine.ctr("run", "--rm", BUSYBOX, "c1", "echo", "hello").stdout == "hello\n"
        with engine.pod("") as pod:
            container = pod.create()
            engine.cri.start(container)
            assert engine.cri.execute(container, "echo", "hello") == (0, "hello\n", "")
    assert (processes(str(work)), mounts(work)) == ([], [])


@pytest.mark.skipif(bool(missing("dockerd", "docker")), reason=missing("dockerd", "docker"))
def test_dockerd_runs_and_ends(engines_work: Path, images: Images) -> None:
    """With Debian's client."""
    work = engines_work / "harness-docker"
    with Dockerd(work, images) as engine:
        assert engine.docker("run", "--rm", "--network", "none", BUSYBOX, "echo", "hello").stdout == "hello\n"
    assert (processes(str(work)), mounts(work)) == ([], [])


@pytest.mark.skipif(bool(missing("podman")), reason=missing("podman"))
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_podman_runs_and_ends(engines_work: Path, images: Images, runtime: str) -> None:
    """As root, with both runtimes."""
    work = engines_work / f"harness-podman-{runtime}"
    with Podman(work, images) as engine:
        words = ("--runtime", runtime, "run", "--rm", "--network", "none", BUSYBOX, "echo", "hello")
        assert engine.podman(*words, crun=runtime == "crun").stdout == "hello\n"
    assert (processes(str(work)), mounts(work)) == ([], [])
