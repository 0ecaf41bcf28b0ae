"""Held and hardened edits: what the config has already, and the safer form of what it has not. Layer 2, hot.

Both are for the doors alone; the pure path (``edits``) gives the reference's result to the letter. Hardening changes the form of an
edit, never whether it is made, and each item can be turned off by its setting ``harden.*``.
"""

from __future__ import annotations

from cdi_hook.edits import MAPPINGS, MappedOptions, winners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.model import Op, Origin, Part

HOOK_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The whole environment of a vendor's hook that names none. runc before 1.3 gives such a createContainer hook the *image's*
environment, ``LD_PRELOAD`` included (CVE-2025-23266)."""

_PERMISSION_BITS = 0o7777
_BIND_OPTIONS = ("bind", "nosuid", "noexec")


def settle(ops: Iterable[Op], config: dict[str, Any], settings: dict[str, Any], *, bind_nodes: bool) -> tuple[list[Op], list[Op]]:
    """``(todo, held)``: the winning ops that are still to be applied, hardened, and those that the config holds already.

    An op is held when the config has it in raw or in hardened form, so that a retry, or an engine that resolved the same request
    before us, does no harm. ``bind_nodes``: nodes whose host path is another become bind mounts (see ``_node``).
    """
    todo: list[Op] = []
    held: list[Op] = []
    for op in winners(ops):
        safe = harden(op, settings, bind_nodes=bind_nodes)
        if _HOLDS[op[0]](config, op[1]) or _HOLDS[safe[0]](config, safe[1]):
            held.append(op)
        else:
            todo.append(safe)
    return todo, held


def harden(op: Op, settings: dict[str, Any], *, bind_nodes: bool) -> Op:
    """The same op in its safer form; the op itself when there is nothing to change."""
    kind, value, origin = op
    if kind == "hook" and settings["harden.hookEnv"]:
        stage, hook = value
        if not hook.get("env"):
            return kind, (stage, {**hook, "env": [HOOK_ENV]}), origin
    elif kind == "mount" and settings["harden.mountType"]:
        # crun crashes on a bind mount without a type in a foreign user namespace (containers/crun#1948).
        if not value.get("type") and any(option in ("bind", "rbind") for option in value.get("options", ())):
            return kind, {"destination": value["destination"], "type": "bind", **value}, origin
    elif kind == "node":
        return _node(op, settings, bind_nodes)
    return op


def _node(op: Op, settings: dict[str, Any], bind_nodes: bool) -> Op:
    kind, value, origin = op
    device = value["device"]
    if bind_nodes and settings["harden.nodeMount"] and value["hostPath"] != device["path"]:
        # In a user namespace nobody can mknod. runc then binds the host's node of the *same* path, which is another one or none.
        mount = {"destination": device["path"], "type": "bind", "source": value["hostPath"], "options": list(_BIND_OPTIONS)}
        return "mount", mount, origin
    mode = device.get("fileMode", 0)
    if settings["harden.fileMode"] and mode & ~_PERMISSION_BITS:
        # A whole st_mode: runc clears the file type, crun does not and makes a broken node.
        return kind, {**value, "device": {**device, "fileMode": mode & _PERMISSION_BITS}}, origin
    return op


def needs(parts: Iterable[Part]) -> list[tuple[str, str, Origin]]:
    """``(feature, words, origin)`` for each edit that an older runtime drops in silence; ``feature`` as ``features.supports`` has it."""
    found: list[tuple[str, str, Origin]] = []
    for origin, edits in parts:
        for net in edits.get("netDevices", ()):
            found.append(("netDevices", f"net device {net['hostInterfaceName']}", origin))
        rdt = edits.get("intelRdt", {})
        if rdt.get("schemata"):
            found.append(("intelRdt.schemata", "Intel RDT schemata", origin))
        if rdt.get("enableMonitoring"):
            found.append(("intelRdt.enableMonitoring", "Intel RDT monitoring", origin))
        for mount in edits.get("mounts", ()):
            for option in mount.get("options", ()):
                if option in MAPPINGS:
                    found.append((f"mount.{option}", f"mount {mount['containerPath']} with {option}", origin))
    return found


def _get(config: dict[str, Any], *path: str) -> Any:
    value: Any = config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _entries(config: dict[str, Any], *path: str) -> list[Any]:
    value = _get(config, *path)
    return value if isinstance(value, list) else []


def _holds_env(config: dict[str, Any], text: str) -> bool:
    name = text.partition("=")[0]
    start = f"{name}="
    for entry in reversed(_entries(config, "process", "env")):
        if isinstance(entry, str) and (entry.startswith(start) or entry == name):
            return entry == text
    return False


def _holds_node(config: dict[str, Any], value: dict[str, Any]) -> bool:
    """Compared are type and numbers, which come from the host if not from the spec, and what else the spec states."""
    device = value["device"]
    compared = {"type", "major", "minor", *value["stated"]}
    found = _named(_entries(config, "linux", "devices"), "path", device["path"])
    return any(all(entry.get(key) == device.get(key) for key in compared) for entry in found)


def _holds_rule(config: dict[str, Any], rule: dict[str, Any]) -> bool:
    held = False
    for entry in _entries(config, "linux", "resources", "devices"):
        if isinstance(entry, dict):
            if entry.get("allow") is True:
                held = held or all(entry.get(key) == rule.get(key) for key in ("type", "major", "minor", "access"))
            elif _covers(entry, rule):
                held = False
    return held


def _covers(denial: dict[str, Any], rule: dict[str, Any]) -> bool:
    """Whether a denial takes away any of what the rule grants. Absent type, number or access mean all of them."""
    if denial.get("type") not in (None, "", "a", rule["type"]):
        return False
    for key in ("major", "minor"):
        number = denial.get(key)
        if number is not None and number != -1 and number != rule[key]:
            return False
    access = denial.get("access")
    return not access or not isinstance(access, str) or any(letter in access for letter in rule.get("access", ""))


def _holds_net(config: dict[str, Any], value: tuple[str, dict[str, Any]]) -> bool:
    host, device = value
    return _states(_get(config, "linux", "netDevices", host), device)


def _holds_mount(config: dict[str, Any], mount: dict[str, Any]) -> bool:
    found = _named(_entries(config, "mounts"), "destination", mount["destination"])
    if not found:
        return False
    forms = [mount]
    options = mount.get("options")
    if isinstance(options, MappedOptions):
        # An engine with an older CDI library writes the mount without the mapping.
        forms.append({**mount, "options": options[:-1]} if options[:-1] else _without(mount, "options"))
    return any(_states(entry, form) for entry in found for form in forms)


def _named(entries: list[Any], key: str, value: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict) and entry.get(key) == value]


def _without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {other: member for other, member in value.items() if other != key}


def _holds_hook(config: dict[str, Any], value: tuple[str, dict[str, Any]]) -> bool:
    stage, hook = value
    return hook in _entries(config, "hooks", stage)


def _holds_rdt(config: dict[str, Any], rdt: dict[str, Any]) -> bool:
    return _states(_get(config, "linux", "intelRdt"), rdt)


def _holds_gid(config: dict[str, Any], gid: int) -> bool:
    return gid in _entries(config, "process", "user", "additionalGids")


def _states(entry: Any, wanted: dict[str, Any]) -> bool:
    """Whether the config's object says all that is wanted; what else it says is the engine's business."""
    return isinstance(entry, dict) and all(entry.get(key) == value for key, value in wanted.items())


_HOLDS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "env": _holds_env,
    "node": _holds_node,
    "rule": _holds_rule,
    "net": _holds_net,
    "mount": _holds_mount,
    "hook": _holds_hook,
    "rdt": _holds_rdt,
    "gid": _holds_gid,
}
