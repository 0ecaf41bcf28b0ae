"""A small host for tests of the entry points: spec directories, settings, and an index of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import memory
from cdi_hook.settings import values

Config = dict[str, Any]
Edits = dict[str, Any]


class World:
    """Spec directories below ``root``; the index is below it, too."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.specs = root / "specs"
        self.specs.mkdir()
        monkeypatch.setattr(memory, "SYSTEM_HOME", str(root / "index"))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        self.settings = {**values.DEFAULTS, "specDirs": [str(self.specs)]}

    def spec(self, kind: str, devices: dict[str, Edits], edits: Edits | None = None, *, file: str = "", version: str = "1.1.0") -> Path:
        """Write a spec of these devices; ``edits``: its own, which each device brings."""
        document = {
            "cdiVersion": version,
            "kind": kind,
            "containerEdits": edits or {},
            "devices": [{"name": name, "containerEdits": of_device} for name, of_device in devices.items()],
        }
        path = self.specs / (file or f"{kind.replace('/', '-')}.json")
        path.write_text(json.dumps(document, indent=1))
        return path


def asking(*names: str, key: str = "cdi.k8s.io/test", **more: Any) -> Config:
    """A config whose annotation asks for these devices."""
    return {**more, "annotations": {**more.get("annotations", {}), key: ",".join(names)}}
