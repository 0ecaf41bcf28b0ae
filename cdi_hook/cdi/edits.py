"""CDI container edits: merged, brought into OCI form, and written into an OCI config. Row 4, hot.

Implements "Container edits" of the CDI specification 1.1.0 with the order and the results of the Go reference
(``pkg/cdi/container-edits.go``). Two steps, so that held, hardened and too-late edits can be told apart between them:

``to_oci``  CDI edits -> a list of *ops*, each ``(kind, value, origin)`` in OCI form
``apply``   ops -> the config, in place

Nothing here reads a file or a clock: what the host's device nodes are is asked of the ``lstat`` that the caller passes in.
"""

from __future__ import annotations

from cdi_hook.errors import BundleError, StaleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.model import Op, Origin, Part

    HostNode = tuple[str, int, int, int]
    """Type character (``c``, ``b``, ``p``; empty when it is no device node), major, minor, permission bits."""
    Lstat = Callable[[str], "HostNode | None"]
    Traced = tuple[Op, str, Any]
    Index = dict[str, Any]

KINDS = ("env", "node", "rule", "net", "mount", "hook", "rdt", "gid")
"""The kinds of op, in the order in which they are applied."""

MAPPINGS = ("idmap", "ridmap")
"""The mount options that ask for id mapping, of one mount or of a whole tree (mount_setattr(2))."""


class MappedOptions(list):  # type: ignore[type-arg]  # a bare list, since list[str] costs a call at import
    """Mount options whose last is an id mapping that the spec did not ask for."""

    __slots__ = ()


def to_oci(parts: Iterable[Part], config: dict[str, Any], lstat: Lstat, mappings: tuple[str, ...] = MAPPINGS) -> list[Op]:
    """The ops of some edits on this config.

    ``parts``: ``(origin, edits)`` in the order of the request. ``lstat``: what stands at a host path, without following a link at
    its end; None when nothing does. ``mappings``: the id mappings that bind mounts may be given when the config has a user
    namespace. The config is read, not changed: its user owns the nodes whose spec names no owner.

    Raises StaleError when a device node is missing on the host, or is of another type, and the spec alone does not describe it.

    >>> to_oci([(("/etc/cdi/a.yaml", ""), {"env": ["A=1"]})], {}, lambda path: None)
    [('env', 'A=1', ('/etc/cdi/a.yaml', ''))]
    """
    parts = list(parts)
    user = _dict(_dict(config, "process"), "user", "process.user")
    mappings = mappings if has_user_namespace(config) else ()
    ops: list[Op] = [("env", text, origin) for origin, edits in parts for text in edits.get("env", ())]
    seen: dict[str, HostNode | None] = {}

    def host(path: str) -> HostNode | None:
        # The devices of one vendor share nodes.
        if path not in seen:
            seen[path] = lstat(path)
        return seen[path]

    for origin, edits in parts:
        for at, node in enumerate(edits.get("deviceNodes", ())):
            ops.extend(_node_ops(node, f"deviceNodes[{at}]", origin, user, host))
    for origin, edits in parts:
        for net in edits.get("netDevices", ()):
            ops.append(("net", (net["hostInterfaceName"], {"name": net["name"]}), origin))
    for origin, edits in parts:
        for mount in edits.get("mounts", ()):
            ops.append(("mount", _mount(mount, mappings), origin))
    for origin, edits in parts:
        for hook in edits.get("hooks", ()):
            ops.append(("hook", (hook["hookName"], {key: value for key, value in hook.items() if key != "hookName"}), origin))
    for origin, edits in parts:
        if "intelRdt" in edits:
            ops.append(("rdt", dict(edits["intelRdt"]), origin))
    for origin, edits in parts:
        # Gid 0 is dropped without a word, as the reference does.
        ops.extend(("gid", gid, origin) for gid in edits.get("additionalGids", ()) if gid)
    return ops


def _node_ops(node: Any, field: str, origin: Origin, user: dict[str, Any], lstat: Lstat) -> list[Op]:
    """One device node and its cgroup rule."""
    path: str = node["path"]
    host_path: str = node.get("hostPath") or path
    type_: str = node.get("type", "")
    major: int = node.get("major", 0)
    minor: int = node.get("minor", 0)
    mode: int | None = node.get("fileMode")
    complete = bool(type_) and (major != 0 or type_ == "p")
    host = lstat(host_path)
    if host is None or not host[0]:
        if not complete:
            reason = f"device node {host_path} {'is not a device node' if host else 'does not exist'} on this host"
            raise StaleError(reason, file=origin[0], field=field, device=origin[1])
    else:
        if mode is None:
            mode = host[3]
        if not complete:
            type_ = type_ or host[0]
            if type_ != host[0]:
                reason = f"device node {host_path} is of type {host[0]} on this host, not {type_}"
                raise StaleError(reason, file=origin[0], field=field, device=origin[1])
            if type_ != "p" and major == 0:
                major, minor = host[1], host[2]

    device = {"path": path, "type": type_, "major": major, "minor": minor}
    if mode is not None:
        device["fileMode"] = mode
    for key in ("uid", "gid"):
        owner = node.get(key)
        if owner is None:
            inherited = user.get(key)
            owner = inherited if isinstance(inherited, int) and inherited > 0 else None
        if owner is not None:
            device[key] = owner
    ops: list[Op] = [("node", {"device": device, "hostPath": host_path, "stated": [key for key in device if key in node]}, origin)]
    if type_ in ("b", "c"):
        rule = {"allow": True, "type": type_, "major": major, "minor": minor}
        access = node.get("permissions") or "rwm"
        if access != "none":
            rule["access"] = access
        ops.append(("rule", rule, origin))
    return ops


def _mount(mount: Any, mappings: tuple[str, ...]) -> dict[str, Any]:
    """A CDI mount as an OCI one; in a user namespace a bind mount is id-mapped, recursively when it binds so."""
    oci = {"destination": mount["containerPath"]}
    if mount.get("type"):
        oci["type"] = mount["type"]
    oci["source"] = mount["hostPath"]
    options = list(mount.get("options", ()))
    if mappings:
        mapping = "idmap" if mount.get("type") == "bind" else ""
        for option in options:
            if option in ("idmap", "ridmap"):
                mapping = ""
                break
            mapping = {"bind": "idmap", "rbind": "ridmap"}.get(option, mapping)
        if mapping in mappings:
            options = MappedOptions([*options, mapping])
    if options:
        oci["options"] = options
    return oci


def has_user_namespace(config: dict[str, Any]) -> bool:
    """Whether the config asks for a user namespace, new or joined by path."""
    namespaces = _dict(config, "linux").get("namespaces")
    return isinstance(namespaces, list) and any(isinstance(entry, dict) and entry.get("type") == "user" for entry in namespaces)


def apply(config: dict[str, Any], ops: Iterable[Op], trace: list[Traced] | None = None) -> None:
    """Write the ops into the config, in place.

    ``trace``, when given, gets for each op the JSON pointer (RFC 6901) of what it wrote, as it was at that moment, and what it
    replaced there, or None. Raises BundleError when the config has another type where an edit must go.
    """
    mounted = False
    index: Index = {}
    for op in ops:
        kind, value, _ = op
        pointer, replaced = APPLY[kind](config, index, value)
        mounted = mounted or kind == "mount"
        if trace is not None:
            trace.append((op, pointer, replaced))
    if mounted:
        # Parents before children, as the reference sorts *all* mounts: by the number of parts, stably.
        config["mounts"].sort(key=_depth)


def winners(ops: Iterable[Op]) -> list[Op]:
    """The ops that decide: of several with one key (variable, node path, mount destination, interface) the last; equal ones once."""
    kept: dict[object, Op] = {}
    for op in ops:
        kind, value, _ = op
        if kind == "env":
            key: object = value.partition("=")[0]
        elif kind == "node":
            key = value["device"]["path"]
        elif kind == "mount":
            key = value["destination"]
        elif kind == "net":
            key = value[0]
        elif kind == "rdt":
            key = ""
        elif kind == "hook":
            key = repr((value[0], sorted(value[1].items())))
        elif kind == "rule":
            key = tuple(value.values())  # made here, so always in one order
        else:
            key = value
        if kind in ("node", "mount"):
            # Replacing one moves it to the end of its list.
            kept.pop((kind, key), None)
        kept[kind, key] = op
    return list(kept.values())


def _env(config: dict[str, Any], index: Index, text: str) -> tuple[str, Any]:
    env = _list(_object(config, "process", "process"), "env", "process.env")
    if "env" not in index:
        # The last entry of a name is the one that counts.
        index["env"] = {entry.partition("=")[0]: at for at, entry in enumerate(env) if isinstance(entry, str)}
    name = text.partition("=")[0]
    at = index["env"].get(name, -1)
    if at >= 0:
        old, env[at] = env[at], text
        return f"/process/env/{at}", old
    index["env"][name] = len(env)
    env.append(text)
    return f"/process/env/{len(env) - 1}", None


def _node(config: dict[str, Any], index: Index, value: dict[str, Any]) -> tuple[str, Any]:
    devices = _list(_object(config, "linux", "linux"), "devices", "linux.devices")
    device = dict(value["device"])
    # The reference first removes one node of this path, and writes over a second one where that stands.
    old = _remove(devices, index, "path", device["path"])
    at = _find(devices, index, "path", device["path"])
    if at < 0:
        at = _append(devices, index, "path", device)
    else:
        devices[at] = device
    return f"/linux/devices/{at}", old


def _rule(config: dict[str, Any], index: Index, value: dict[str, Any]) -> tuple[str, Any]:
    resources = _object(_object(config, "linux", "linux"), "resources", "linux.resources")
    rules = _list(resources, "devices", "linux.resources.devices")
    rules.append(dict(value))
    return f"/linux/resources/devices/{len(rules) - 1}", None


def _net(config: dict[str, Any], index: Index, value: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    host, device = value
    devices = _object(_object(config, "linux", "linux"), "netDevices", "linux.netDevices")
    old, devices[host] = devices.get(host), dict(device)
    return f"/linux/netDevices/{host.replace('~', '~0').replace('/', '~1')}", old


def _mount_op(config: dict[str, Any], index: Index, value: dict[str, Any]) -> tuple[str, Any]:
    mounts = _list(config, "mounts", "mounts")
    old = _remove(mounts, index, "destination", value["destination"])
    return f"/mounts/{_append(mounts, index, 'destination', dict(value))}", old


def _hook(config: dict[str, Any], index: Index, value: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    stage, hook = value
    hooks = _list(_object(config, "hooks", "hooks"), stage, f"hooks.{stage}")
    hooks.append(dict(hook))
    return f"/hooks/{stage}/{len(hooks) - 1}", None


def _rdt(config: dict[str, Any], index: Index, value: dict[str, Any]) -> tuple[str, Any]:
    linux = _object(config, "linux", "linux")
    old, linux["intelRdt"] = linux.get("intelRdt"), dict(value)
    return "/linux/intelRdt", old


def _gid(config: dict[str, Any], index: Index, value: int) -> tuple[str, Any]:
    user = _object(_object(config, "process", "process"), "user", "process.user")
    gids = _list(user, "additionalGids", "process.user.additionalGids")
    if "gids" not in index:
        index["gids"] = {gid: at for at, gid in reversed(list(enumerate(gids))) if isinstance(gid, int)}
    at = index["gids"].get(value, -1)
    if at >= 0:
        return f"/process/user/additionalGids/{at}", value
    index["gids"][value] = len(gids)
    gids.append(value)
    return f"/process/user/additionalGids/{len(gids) - 1}", None


APPLY: dict[str, Callable[[dict[str, Any], Index, Any], tuple[str, Any]]] = {
    "env": _env,
    "node": _node,
    "rule": _rule,
    "net": _net,
    "mount": _mount_op,
    "hook": _hook,
    "rdt": _rdt,
    "gid": _gid,
}
"""Kind of op -> the function that writes it into a config and gives the pointer to it and what it replaced. ``index``: what stands where
in the config, kept up to date from op to op, so that ten thousand of them do not look through it ten thousand times."""


def _depth(mount: Any) -> int:
    """How many separators the cleaned destination has: ``//a/./b/`` is ``/a/b`` and has two; ``a`` has none; ``/`` has one."""
    path = mount.get("destination") if isinstance(mount, dict) else None
    if not isinstance(path, str):
        return 0
    if path[:1] == "/" and path[-1] != "/" and "//" not in path and "/." not in path:
        return path.count("/")  # clean, as nearly all are
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts and parts[-1] != "..":
                parts.pop()
            elif not path.startswith("/"):
                parts.append(part)
        elif part not in ("", "."):
            parts.append(part)
    if path.startswith("/"):
        return max(len(parts), 1)
    return max(len(parts) - 1, 0)


def _find(entries: list[Any], index: Index, key: str, value: str) -> int:
    """Where the first object stands whose member ``key`` has this value; -1: nowhere. Most names stand nowhere, and only that is known
    without a look, since what is removed moves the others."""
    if key not in index:
        counts: dict[str, int] = {}
        for entry in entries:
            name = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(name, str):
                counts[name] = counts.get(name, 0) + 1
        index[key] = counts
    if index[key].get(value):
        for at, entry in enumerate(entries):
            if isinstance(entry, dict) and entry.get(key) == value:
                return at
    return -1


def _remove(entries: list[Any], index: Index, key: str, value: str) -> Any:
    at = _find(entries, index, key, value)
    if at < 0:
        return None
    index[key][value] -= 1
    return entries.pop(at)


def _append(entries: list[Any], index: Index, key: str, entry: dict[str, Any]) -> int:
    """Put an object at the end, after `_find` has looked. Returns where it stands."""
    name = entry[key]
    index[key][name] = index[key].get(name, 0) + 1
    entries.append(entry)
    return len(entries) - 1


def _dict(parent: dict[str, Any], key: str, field: str = "") -> dict[str, Any]:
    """A member for reading: absent and null count as empty."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(field or key, value, "an object")
    return value


def _object(parent: dict[str, Any], key: str, field: str) -> dict[str, Any]:
    """A member for writing, made when absent or null."""
    value = parent.get(key)
    if value is None:
        value = parent[key] = {}
    if not isinstance(value, dict):
        raise _wrong(field, value, "an object")
    return value


def _list(parent: dict[str, Any], key: str, field: str) -> list[Any]:
    value = parent.get(key)
    if value is None:
        value = parent[key] = []
    if not isinstance(value, list):
        raise _wrong(field, value, "a list")
    return value


def _wrong(field: str, value: object, wanted: str) -> BundleError:
    return BundleError(
        f"is of type {type(value).__name__}, not {wanted}", field=field, fix="the engine that wrote this config must mend it"
    )
