"""Held and hardened edits: what the config already has is left out, the rest takes a safer form. Row 5, hot.

Both are for the entry points alone; the pure path (``edits``) gives the reference's result to the letter. Hardening changes the form of an
edit, never whether it is made, and each item can be turned off by its setting ``harden.*``.
"""

from __future__ import annotations

from cdi_hook.cdi.edits import MAPPINGS, MappedOptions, winners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.model import Op, Origin, Part

    Index = dict[object, Any]
    """What stands where in a config: for each list that was looked at its entries by name, so that many ops need one look."""

HOOK_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The whole environment of a vendor's hook that names none. runc before 1.3 gives such a createContainer hook the *image's*
environment, ``LD_PRELOAD`` included (CVE-2025-23266)."""

_PERMISSION_BITS = 0o7777
_BINDS = ("bind", "rbind")
_BIND_OPTIONS = ("bind", "nosuid", "noexec")


def settle(
    ops: Iterable[Op],
    config: dict[str, Any],
    settings: dict[str, Any],
    *,
    bind_nodes: bool,
    is_directory: Callable[[str], bool],
    mappings: tuple[str, ...] = (),
    index: Index | None = None,
) -> tuple[list[Op], list[Op]]:
    """``(todo, held)``: the winning ops that are still to be applied, hardened, and those that the config holds already.

    An op is held when the config has it in raw or in hardened form, so that a retry, or an engine that resolved the same request
    before us, does no harm. ``bind_nodes``: nodes whose host path is another become bind mounts (see ``_node``). ``is_directory``
    tells what a path of the host is; ``mappings``: as for ``edits.to_oci``. ``index``: an empty dict that several calls for one config
    may share, which saves them looking through it again.
    """
    todo: list[Op] = []
    held: list[Op] = []
    index = {} if index is None else index
    for op in winners(ops):
        safe = harden(op, settings, bind_nodes=bind_nodes, is_directory=is_directory, mappings=mappings)
        if safe is not op and op[0] == "mount" and is_no_bind(op[1]):
            # A mount with which no runtime starts is not held as it stands, even if an engine has put it there.
            is_held = _holds_mount(config, index, op[1], startable=True)
        else:
            is_held = _HOLDS[op[0]](config, index, op[1])
        if is_held or (safe is not op and _HOLDS[safe[0]](config, index, safe[1])):
            held.append(op)
        else:
            todo.append(safe)
    return todo, held


def harden(
    op: Op,
    settings: dict[str, Any],
    *,
    bind_nodes: bool,
    is_directory: Callable[[str], bool],
    mappings: tuple[str, ...] = (),
) -> Op:
    """The same op in its safer form; the op itself when there is nothing to change. Arguments as for `settle`."""
    kind, value, origin = op
    if kind == "hook" and settings["harden.hookEnv"]:
        stage, hook = value
        if not hook.get("env"):
            return kind, (stage, {**hook, "env": [HOOK_ENV]}), origin
    elif kind == "mount" and settings["harden.mountType"]:
        if is_no_bind(value):
            return kind, _bound(value, is_directory, mappings), origin
        # crun crashes on a bind mount without a type in a foreign user namespace (containers/crun#1948).
        if not value.get("type") and any(option in _BINDS for option in value.get("options", ())):
            return kind, {"destination": value["destination"], "type": "bind", **value}, origin
    elif kind == "node":
        return _node(op, settings, bind_nodes)
    return op


def is_no_bind(mount: dict[str, Any]) -> bool:
    """Whether a mount names no file system and yet no option that makes it a bind mount: runc and crun then look for a file system of
    the type that it names, or of none, and find "no such device"."""
    return (mount.get("type") or "none") in ("none", "bind") and not any(option in _BINDS for option in mount.get("options", ()))


def _bound(mount: dict[str, Any], is_directory: Callable[[str], bool], mappings: tuple[str, ...]) -> dict[str, Any]:
    """The bind mount that such a mount stands for: a CDI mount always has a path of the host."""
    option, mapping = ("rbind", "ridmap") if is_directory(mount["source"]) else ("bind", "idmap")
    given = mount.get("options", ())
    plain = given[:-1] if isinstance(given, MappedOptions) else given
    options = [*plain, option]
    if mapping in mappings and not any(one in MAPPINGS for one in plain):
        options = MappedOptions([*options, mapping])
    return {"destination": mount["destination"], "type": "bind", "source": mount["source"], "options": options}


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


def _named(config: dict[str, Any], index: Index, key: str, value: str, *path: str) -> list[dict[str, Any]]:
    """The objects of the list at this path of the config whose member ``key`` has this value."""
    if path not in index:
        groups: dict[str, list[dict[str, Any]]] = {}
        for entry in _entries(config, *path):
            name = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(name, str):
                groups.setdefault(name, []).append(entry)
        index[path] = groups
    found: list[dict[str, Any]] = index[path].get(value, [])
    return found


def _holds_env(config: dict[str, Any], index: Index, text: str) -> bool:
    if "env" not in index:
        # The last entry of a name is the one that counts.
        entries = _entries(config, "process", "env")
        index["env"] = {entry.partition("=")[0]: entry for entry in entries if isinstance(entry, str)}
    return bool(index["env"].get(text.partition("=")[0]) == text)


def _holds_node(config: dict[str, Any], index: Index, value: dict[str, Any]) -> bool:
    """Compared are type and numbers, which come from the host if not from the spec, and what else the spec states."""
    device = value["device"]
    compared = {"type", "major", "minor", *value["stated"]}
    found = _named(config, index, "path", device["path"], "linux", "devices")
    return any(all(entry.get(key) == device.get(key) for key in compared) for entry in found)


def _holds_rule(config: dict[str, Any], index: Index, rule: dict[str, Any]) -> bool:
    if "rules" not in index:
        index["rules"] = _rules(config)
    allowed, denials = index["rules"]
    at = allowed.get((rule["type"], rule["major"], rule["minor"], rule.get("access")), -1)
    return at >= 0 and not any(later > at and _covers(denial, rule) for later, denial in denials)


def _rules(config: dict[str, Any]) -> tuple[dict[tuple[Any, ...], int], list[tuple[int, dict[str, Any]]]]:
    """What the cgroup rules of a config allow, with the position of the last rule that does; and the denials, with theirs."""
    allowed: dict[tuple[Any, ...], int] = {}
    denials: list[tuple[int, dict[str, Any]]] = []
    for at, entry in enumerate(_entries(config, "linux", "resources", "devices")):
        if isinstance(entry, dict):
            if entry.get("allow") is True:
                key = (entry.get("type"), entry.get("major"), entry.get("minor"), entry.get("access"))
                if not any(isinstance(part, (list, dict)) for part in key):
                    allowed[key] = at
            else:
                denials.append((at, entry))
    return allowed, denials


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


def _holds_net(config: dict[str, Any], index: Index, value: tuple[str, dict[str, Any]]) -> bool:
    host, device = value
    return _states(_get(config, "linux", "netDevices", host), device)


def _holds_mount(config: dict[str, Any], index: Index, mount: dict[str, Any], *, startable: bool = False) -> bool:
    found = _named(config, index, "destination", mount["destination"], "mounts")
    if not found:
        return False
    forms = [mount]
    options = mount.get("options")
    if isinstance(options, MappedOptions):
        # An engine with an older CDI library writes the mount without the mapping.
        forms.append({**mount, "options": options[:-1]} if options[:-1] else _without(mount, "options"))
    return any(_states(entry, form) and not (startable and is_no_bind(entry)) for entry in found for form in forms)


def _without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {other: member for other, member in value.items() if other != key}


def _holds_hook(config: dict[str, Any], index: Index, value: tuple[str, dict[str, Any]]) -> bool:
    stage, hook = value
    return hook in _named(config, index, "path", hook["path"], "hooks", stage)


def _holds_rdt(config: dict[str, Any], index: Index, rdt: dict[str, Any]) -> bool:
    return _states(_get(config, "linux", "intelRdt"), rdt)


def _holds_gid(config: dict[str, Any], index: Index, gid: int) -> bool:
    if "gids" not in index:
        index["gids"] = {one for one in _entries(config, "process", "user", "additionalGids") if isinstance(one, int)}
    return gid in index["gids"]


def _states(entry: Any, wanted: dict[str, Any]) -> bool:
    """Whether the config's object says all that is wanted; what else it says is the engine's business."""
    return isinstance(entry, dict) and all(entry.get(key) == value for key, value in wanted.items())


_HOLDS: dict[str, Callable[[dict[str, Any], Index, Any], bool]] = {
    "env": _holds_env,
    "node": _holds_node,
    "rule": _holds_rule,
    "net": _holds_net,
    "mount": _holds_mount,
    "hook": _holds_hook,
    "rdt": _holds_rdt,
    "gid": _holds_gid,
}
