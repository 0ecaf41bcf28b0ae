"""containerd 1.6: configure, run containers through the CRI and ``ctr``, undo."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import FUSE, Installed
from .cri import CriError
from .harness import BUSYBOX, Containerd, Images, missing, run

ABSENT = missing("containerd", "ctr", "curl", "runc")
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)

ANNOTATION = {"cdi.k8s.io/cdieng-plugin_fuse": FUSE}
"""As a device plugin sends it: a container's annotation."""


@pytest.fixture
def engine(engines_work: Path, images: Images, installed: Installed, tmp_path: Path) -> Containerd:
    """A containerd that is not started yet, with a config that names no runtime."""
    return Containerd(engines_work / tmp_path.name[-12:], images, env=installed.env)


def configure(engine: Containerd, installed: Installed, *words: str) -> list[str]:
    """The lines that ``cdi-hook configure containerd`` prints."""
    return installed.hook("configure", "containerd", "--config", engine.config, *words).stdout.splitlines()


def test_a_life_from_configure_to_undo(engine: Containerd, installed: Installed) -> None:
    """The container of a pod gets device, env and mount; its whole life works; undo gives the same bytes."""
    before = engine.config.read_bytes()
    lines = configure(engine, installed)
    assert lines[-2:] == ["checked with: containerd config dump", "to make containerd read it: systemctl restart containerd"]
    assert configure(engine, installed)[-1] == "containerd: nothing to change"
    with engine:
        cri = engine.cri
        with engine.pod("cdi") as pod:
            container = pod.create(ANNOTATION)
            cri.start(container)
            assert cri.execute(container, "sh", "-c", ": </dev/fuse && cat /cdieng/data") == (0, "from the host\n", "")
            code, environ, _ = cri.execute(container, "cat", "/proc/1/environ")
            assert (code, "CDIENG=fuse" in environ.split("\0")) == (0, True)
            assert "CDIENG" not in cri.execute(container, "env")[1]  # containerd keeps a copy of its own for exec
            assert cri.stats(container)
            cri.remove(container)
            other = pod.create()
            cri.start(other)
            assert cri.execute(other, "ls", "/dev/fuse")[0] == 1
            cri.remove(other)
        with engine.pod("") as pod:  # the handler that containerd had by itself is still there
            container = pod.create(ANNOTATION)
            cri.start(container)
            assert cri.execute(container, "ls", "/dev/fuse")[0] == 1
    assert installed.hook("unconfigure", "containerd", "--config", engine.config).returncode == 0
    assert engine.config.read_bytes() == before


def test_an_unresolvable_device_is_named_in_the_pods_event(engine: Containerd, installed: Installed) -> None:
    """What kubelet shows; the container can be removed and the pod goes on."""
    configure(engine, installed)
    with engine, engine.pod("cdi") as pod:
        container = pod.create({"cdi.k8s.io/x": "cdieng.example/dev=fus"})
        with pytest.raises(CriError) as caught:
            engine.cri.start(container)
        message = str(caught.value)
        assert "cdieng.example/dev=fus" in message
        assert str(installed.specs) in message
        assert FUSE in message
        status = engine.cri.status(container)
        assert (status[7], status[10]) == (128, b"StartError")
        engine.cri.remove(container)
        good = pod.create(ANNOTATION)
        engine.cri.start(good)
        assert engine.cri.execute(good, "ls", "/dev/fuse")[0] == 0


def test_pod_annotations_are_a_choice(engine: Containerd, installed: Installed) -> None:
    """Without the option a pod's own annotations reach nobody; with it they reach every container, and not the sandbox."""
    configure(engine, installed)
    with engine:
        with engine.pod("cdi", ANNOTATION) as pod:
            container = pod.create()
            engine.cri.start(container)
            assert engine.cri.execute(container, "ls", "/dev/fuse")[0] == 1
        configure(engine, installed, "--pod-annotations", "--set-default")
        engine.restart()
        with engine.pod("", ANNOTATION) as pod:
            container = pod.create()
            engine.cri.start(container)
            assert engine.cri.execute(container, "ls", "/dev/fuse")[0] == 0


def test_ctr_needs_no_configuration(engine: Containerd, installed: Installed) -> None:
    """``--runc-binary`` names the wrapper."""
    wrapper = installed.bin / "cdi-runtime"
    with engine:
        words = ("run", "--rm", "--runc-binary", wrapper, "--annotation", f"cdi.k8s.io/x={FUSE}", BUSYBOX)
        assert engine.ctr(*words, "c1", "sh", "-c", "echo $CDIENG; cat /cdieng/data; : </dev/fuse").stdout == "fuse\nfrom the host\n"
        failed = engine.ctr(
            "run", "--rm", "--runc-binary", wrapper, "--annotation", "cdi.k8s.io/x=acme.com/nic=9", BUSYBOX, "c2", "true", check=False
        )
        assert failed.returncode == 1
        assert "acme.com/nic=9" in failed.stderr


def test_containerd_refuses_a_wrong_type(engine: Containerd, installed: Installed) -> None:
    """Its own check fails after our edit: the file is as it was, and the message is containerd's."""
    text = engine.config.read_text(encoding="utf-8").replace("restrict_oom_score_adj = true", 'restrict_oom_score_adj = "yes"')
    engine.config.write_text(text, encoding="utf-8")
    done = installed.hook("configure", "containerd", "--config", engine.config, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cdi-hook: {engine.config}: containerd refuses the file: ")
    assert engine.config.read_text(encoding="utf-8") == text


def test_an_imported_file_holds_the_cri_table(engine: Containerd, installed: Installed, tmp_path: Path) -> None:
    """That one is edited, and containerd sees the handler beside all other settings."""
    text = engine.config.read_text(encoding="utf-8")
    cri = text.index('[plugins."io.containerd.grpc.v1.cri"]')
    imported = tmp_path / "cri.toml"
    imported.write_text("version = 2\n" + text[cri:], encoding="utf-8")
    engine.config.write_text(text[:cri].replace("version = 2", f'version = 2\nimports = ["{tmp_path}/*.toml"]'), encoding="utf-8")
    before = imported.read_bytes()
    assert f"changed {imported}" in configure(engine, installed)
    dumped = run("containerd", "-c", engine.config, "config", "dump").stdout
    assert ".runtimes.cdi]" in dumped
    assert ".runtimes.runc]" in dumped
    assert "restrict_oom_score_adj = true" in dumped
    installed.hook("unconfigure", "containerd", "--config", engine.config)
    assert imported.read_bytes() == before
