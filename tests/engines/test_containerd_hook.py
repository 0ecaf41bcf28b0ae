"""containerd 1.6 without a handler of ours: the createRuntime hook in ``base_runtime_spec``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .conftest import Installed
from .cri import CriError
from .harness import Containerd, Images, missing, run

ABSENT = missing("containerd", "ctr", "curl", "runc")
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)

KIND = "cdihook.example/dev"
NODE = {"path": "/dev/fuse"}

HANDLER = """
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.hooked]
    runtime_type = "io.containerd.runc.v2"
    container_annotations = ["cdi.k8s.io/*"]
    base_runtime_spec = "{spec}"
"""


@pytest.fixture
def engine(engines_work: Path, images: Images, installed: Installed) -> Containerd:
    """A containerd, not started yet, whose handler ``hooked`` runs our hook."""
    engine = Containerd(engines_work / os.urandom(3).hex(), images)
    work = engine.work
    (work / "specs").mkdir()
    (work / "cdi-hook.yaml").write_text(f"specDirs: [{work}/specs]\nlog:\n  file: {work}/cdi-hook.log\n", encoding="ascii")
    base = json.loads(run("ctr", "oci", "spec").stdout)
    for key in ("rlimits", "args"):
        base["process"].pop(key, None)
    hook = {
        "path": str(installed.bin / "cdi-hook"),
        "args": ["cdi-hook", "createRuntime"],
        "env": [f"CDI_HOOK_CONFIG={work}/cdi-hook.yaml"],
    }
    base["hooks"] = {"createRuntime": [hook]}
    (work / "base.json").write_text(json.dumps(base), encoding="utf-8")
    with engine.config.open("a", encoding="utf-8") as config:
        config.write(HANDLER.format(spec=work / "base.json"))
    return engine


def write_spec(engine: Containerd, edits: dict[str, object]) -> None:
    document = {"cdiVersion": "0.7.0", "kind": KIND, "devices": [{"name": "one", "containerEdits": edits}]}
    (engine.work / "specs/cdihook.json").write_text(json.dumps(document), encoding="utf-8")


def test_hook_of_the_base_spec(engine: Containerd) -> None:
    """A workload gets node and mount; one that does not ask gets nothing; a refusal is the container's message."""
    data = engine.work / "data"
    data.write_text("from the host\n", encoding="ascii")
    mount = {"hostPath": str(data), "containerPath": "/cdihook/data", "options": ["ro", "bind"]}
    write_spec(engine, {"deviceNodes": [NODE], "mounts": [mount]})
    asks = {"cdi.k8s.io/cdihook_x": f"{KIND}=one"}
    with engine:
        cri = engine.cri
        with engine.pod("hooked") as pod:
            container = pod.create(asks)
            cri.start(container)
            assert cri.execute(container, "sh", "-c", ": </dev/fuse && cat /cdihook/data") == (0, "from the host\n", "")
            cri.remove(container)
            other = pod.create()
            cri.start(other)
            assert cri.execute(other, "ls", "/dev/fuse")[0] == 1
            cri.remove(other)
            write_spec(engine, {"deviceNodes": [NODE], "env": ["CDIDOOR=1"]})
            late = pod.create(asks)
            with pytest.raises(CriError, match=f"too late for a createRuntime hook: environment variable CDIDOOR of {KIND}=one"):
                cri.start(late)
