"""What to do about a spec that does not describe this host: where the fault is, and a fix that fits its cause. Row 4, cold.

A spec that a generator wrote is generated again; one that a person wrote is mended on the line that is wrong, and is never overwritten.
"""

from __future__ import annotations

import os

from cdi_hook.cdi import specfile
from cdi_hook.errors import StaleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

GENERATED = "# Made by "
"""How the first line of a spec begins that our own generators wrote; the command follows."""

_TOOLS = {
    "nvidia-cdi-hook": "nvidia-ctk cdi generate --output={file}",
    "nvidia-ctk": "nvidia-ctk cdi generate --output={file}",
    "amd-ctk": "amd-ctk cdi generate --output={file}",
}
"""Name of a hook's program -> the command of the generator whose specs have it."""

_LARGEST_HEAD = 4096


def locate(fault: StaleError) -> StaleError:
    """The same fault with its line in the spec, the whole path of its field, and what to do about it."""
    return locate_all([fault])[0]


def locate_all(faults: Iterable[StaleError]) -> list[StaleError]:
    """The same for several faults; each file is read once."""
    files: dict[str, tuple[specfile.Loaded, str]] = {}
    located = []
    for fault in faults:
        if fault.file not in files:
            loaded = specfile.read(fault.file)
            files[fault.file] = loaded, generator(fault.file, loaded.spec)
        loaded, command = files[fault.file]
        spec: Any = loaded.spec or {}
        path = f"containerEdits.{fault.field}"
        edits = spec.get("containerEdits", {})
        name = fault.device.partition("=")[2]
        names = [device["name"] for device in spec.get("devices", ())]
        if name in names:
            at = names.index(name)
            path, edits = f"devices[{at}].{path}", spec["devices"][at].get("containerEdits", {})
        fix = _fix(fault.field, edits, command)
        located.append(StaleError(fault.reason, file=fault.file, line=loaded.line(path), field=path, fix=fix, device=fault.device))
    return located


def generator(file: str, spec: Any) -> str:
    """The command that writes this file anew; empty when no generator wrote it, as far as its first line and its hooks tell."""
    try:
        with open(file, "rb") as stream:
            head = stream.read(_LARGEST_HEAD).decode("utf-8", "replace").partition("\n")[0]
    except (OSError, ValueError):
        head = ""
    if head.startswith(GENERATED) and head.isprintable():
        return head[len(GENERATED) :].strip()
    for edits in [
        (spec or {}).get("containerEdits", {}),
        *(device.get("containerEdits", {}) for device in (spec or {}).get("devices", ())),
    ]:
        for hook in edits.get("hooks", ()):
            command = _TOOLS.get(os.path.basename(hook.get("path", "")))
            if command:
                return command.format(file=file)
    return ""


def _fix(field: str, edits: Any, command: str) -> str:
    """What mends the fault of a field such as ``deviceNodes[0].major``."""
    kind, _, rest = field.partition("[")
    member: Any = {}
    number = rest.partition("]")[0]
    if number.isdigit() and int(number) < len(edits.get(kind, ())):
        member = edits[kind][int(number)]
    if kind == "deviceNodes":
        path = member.get("hostPath") or member.get("path") or ""
        if os.path.isdir(path):
            return "name the nodes in it one by one, or mount the directory"
        if command:
            return f"load the driver, or run {command}"
        if field.endswith((".major", ".minor", ".type")):
            return "load the driver, or take type, major and minor out of the spec: they are then looked up"
        return "load the driver, or mend this line of the spec"
    if command:
        return f"run {command}"
    return f"install what is missing, or mend this line of the spec{': take the mount out' if kind == 'mounts' else ''}"
