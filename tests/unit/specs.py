"""Spec files for tests of what stands above their content."""

from __future__ import annotations

from pathlib import Path

BROKEN = "cdiVersion: 0.6.0\nkind: acme.com/gpu\ndevices: []\n"
"""A spec with one fault, in line 3."""


def spec_text(kind: str = "acme.com/gpu", devices: str = "0", mark: str = "") -> str:
    """The text of a spec whose devices each set ``DEVICE_<name>=<mark>``."""
    lines = ["cdiVersion: 0.6.0", f"kind: {kind}", "devices:"]
    for name in devices.split():
        lines += [f'- name: "{name}"', "  containerEdits:", f'    env: ["DEVICE_{name}={mark}"]']
    return "\n".join(lines) + "\n"


def write_files(root: Path, files: dict[str, str]) -> None:
    """Lay out files, with the directories that they are in."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
