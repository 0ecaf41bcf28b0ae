"""Whether a spec still describes the host as it is now. Row 5, hot.

A driver update moves device numbers, removes libraries and hooks; a spec written before it injects the wrong node without a word.
Only requested devices are checked, and only what the spec states: a node that it describes fully and that the host lacks is
legal (CDI specification, "Device nodes").
"""

from __future__ import annotations

from cdi_hook.errors import StaleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.cdi.edits import Lstat
    from cdi_hook.model import Part

_IN_CONTAINER = "startContainer"
"""The one stage whose path is resolved in the container."""


def check(parts: Iterable[Part], lstat: Lstat, exists: Callable[[str], bool]) -> list[StaleError]:
    """What of the edits does not hold on this host, in order.

    ``lstat`` as for ``edits.to_oci``; ``exists``: whether a path leads to something. In each error ``file`` is the spec's path,
    ``field`` the path below the ``containerEdits`` of the origin, and ``device`` the origin's name.
    """
    faults: list[StaleError] = []
    for (file, device), edits in parts:
        found: list[tuple[str, str]] = []
        for at, node in enumerate(edits.get("deviceNodes", ())):
            found.extend((f"deviceNodes[{at}].{key}", reason) for key, reason in _node(node, lstat))
        for at, mount in enumerate(edits.get("mounts", ())):
            if _binds(mount) and mount["hostPath"].startswith("/") and not exists(mount["hostPath"]):
                found.append((f"mounts[{at}].hostPath", f"{mount['hostPath']} does not exist on this host"))
        for at, hook in enumerate(edits.get("hooks", ())):
            if hook["hookName"] != _IN_CONTAINER and not exists(hook["path"]):
                found.append((f"hooks[{at}].path", f"{hook['path']} does not exist on this host"))
        faults.extend(StaleError(reason, file=file, field=field, device=device) for field, reason in found)
    return faults


def _node(node: Any, lstat: Lstat) -> Iterable[tuple[str, str]]:
    """``(field, reason)`` for each thing that the spec states and the host's node contradicts."""
    type_, major = node.get("type", ""), node.get("major", 0)
    if not type_ and not major:
        return
    path = node.get("hostPath") or node["path"]
    host = lstat(path)
    if host is None or not host[0]:
        return
    if type_ and {"u": "c"}.get(type_, type_) != host[0]:
        yield "type", f"{path} is of type {host[0]} on this host, not {type_}"
    elif major and host[0] != "p":
        for key, now in (("major", host[1]), ("minor", host[2])):
            if node.get(key, 0) != now:
                yield key, f"{path} has {key} {now} on this host, not {node.get(key, 0)}"


def _binds(mount: Any) -> bool:
    """One that names no file system is a bind mount, too: that is what it becomes."""
    return (mount.get("type") or "none") in ("none", "bind") or any(option in ("bind", "rbind") for option in mount.get("options", ()))
