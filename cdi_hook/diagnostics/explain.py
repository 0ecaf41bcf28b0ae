"""What an entry point would do to a container, and why: every step of the pipeline with its reason. Row 6, cold.

Returns data; ``cli/explain`` prints it. The verdict and the diff are those of ``pipeline`` itself. The steps before them are walked once
more with the same functions, one edit at a time, so that each can be shown with the line it comes from, and so that one fault does not
hide the rest, as it must in an entry point.
"""

from __future__ import annotations

import difflib
import os
import stat as modes
from typing import Any

from cdi_hook import host
from cdi_hook.cdi import edits, specfile
from cdi_hook.cdi.registry import Registry, SpecFile
from cdi_hook.errors import BundleError, CdiError, FaultsError, StaleError
from cdi_hook.oci import config as oci_config
from cdi_hook.oci import features, jsonio
from cdi_hook.pipeline import harden, plan, requests, stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cdi_hook.diagnostics.reports import Access, Asked, Defined, Dropped, Edit, Explanation, Place, SpecDirectory
    from cdi_hook.model import Op, Part, Settings

COMMAND_LINE = "the command line"
"""Where a request comes from that no container carries."""

_OUR_KEY = "cdi.k8s.io/cdi-hook_command-line"
_STAGES = ("env", "deviceNodes", "netDevices", "mounts", "hooks", "intelRdt", "additionalGids")
"""In which order ``edits.to_oci`` goes through the fields of container edits."""


def asking(config: dict[str, Any], settings: Settings, names: list[str]) -> tuple[dict[str, Any], Settings]:
    """A config that asks for exactly these devices, and the settings by which it does; what they differ in is copied."""
    marks = config.get("annotations")
    kept = {key: marks[key] for key in plan.SANDBOX_MARKS if key in marks} if isinstance(marks, dict) else {}
    only = {"requests.annotations": [_OUR_KEY], "requests.environment": [], "requests.mounts": False}
    return {**config, "annotations": {**kept, _OUR_KEY: ",".join(names)}}, {**settings, **only}


def explain(
    config: dict[str, Any],
    settings: Settings,
    *,
    names: list[str] | None = None,
    file: str = "",
    runtime: str = "",
    family: str = "",
    pretty: Callable[[Any], str] | None = jsonio.dumps,
) -> Explanation:
    """Explain what the wrapper would do to this config, which stays as it is.

    ``names``: devices to ask for instead of those that the config asks for. ``file``: the config's path. ``runtime``, ``family``: the
    real runtime's path and kind, "" where there is none. ``pretty``: lays a config out in lines, for the diff; None: no diff.

    What is wrong with request, spec, host or config is in the report, and nothing is raised for it.
    """
    registry = Registry.discover(settings["specDirs"])
    report: Explanation = {
        "config": file,
        "runtime": {"path": runtime, "family": family, "version": features.facts(runtime).version if runtime else ""},
        "directories": [_directory(path, registry) for path in registry.dirs],
        "broken": [str(fault) for faults in registry.errors.values() for fault in faults],
        "sandbox": plan.is_sandbox(config),
        "requests": [],
        "edits": [],
        "dropped": [],
        "access": [],
        "verdict": "unchanged",
        "reasons": [],
        "warnings": [],
        "diff": "",
    }
    skipped = _why_skipped(report["sandbox"], settings)
    try:
        ask, by = asking(config, settings, names) if names else (config, settings)
        asked = _collect(ask, by, file)
        report["requests"] = _requests([(name, COMMAND_LINE) for name, _ in asked] if names else asked, registry)
        if skipped or not asked:
            report["reasons"] = [skipped or _nothing_asked(settings)]
            return report
        devices = dict.fromkeys(device["name"] for request in report["requests"] for device in request["devices"])
        parts = registry.parts(devices)
        walk = _Walk(registry, parts, config, settings, runtime=runtime, family=family)
        report["edits"] = [step.entry for step in walk.steps]
        report["access"] = _accesses(walk, config)
        report["dropped"] = _dropped(parts, runtime)
        found = plan.make(ask, by, file=file, runtime=runtime, family=family)
        assert found is not None
        report["warnings"] = [str(warning) for warning in found.warnings]
        after = _copy(config)
        if plan.apply(after, found, settings, file=file):
            report["verdict"], report["diff"] = "edited", _diff(config, after, file, pretty) if pretty else ""
        else:
            report["reasons"] = ["the config holds every edit already"]
    except CdiError as error:
        report["verdict"] = "unchanged" if skipped else "refused"
        faults = error.faults if isinstance(error, FaultsError) else [error]
        report["reasons"] = [skipped] if skipped else [str(fault) for fault in faults]
    return report


def _collect(config: dict[str, Any], settings: Settings, file: str) -> list[tuple[str, str]]:
    try:
        return plan.collect(config, settings)
    except CdiError as error:
        error.file = error.file or file
        raise


def _why_skipped(sandbox: bool, settings: Settings) -> str:
    if not settings["enabled"]:
        return "the settings say enabled: false, so no container is looked at"
    if sandbox and not settings["requests.sandboxes"]:
        return "a pod's sandbox: it carries the pod's annotations, and is left alone unless the settings say requests.sandboxes: true"
    return ""


def _nothing_asked(settings: Settings) -> str:
    sources = [f"no annotation begins with {' or '.join(settings['requests.annotations']) or 'a prefix: the settings have none'}"]
    if settings["requests.environment"]:
        sources.append(f"{', '.join(settings['requests.environment'])} ask for nothing")
    if settings["requests.mounts"]:
        sources.append(f"nothing is mounted below {requests.MOUNT_ROOT}")
    return f"nothing is requested: {'; '.join(sources)}"


def _directory(path: str, registry: Registry) -> SpecDirectory:
    priority = registry.dirs.index(path)
    files = sum(spec.priority == priority for spec in registry.specs)
    return {"path": path, "exists": os.path.isdir(path), "files": files}


def _requests(asked: list[tuple[str, str]], registry: Registry) -> list[Asked]:
    """Each request, with the devices that it means, or why it means none."""
    found: list[Asked] = []
    known: dict[str, tuple[list[Defined], str]] = {}
    for name, where in asked:
        repeated = name in known
        if not repeated:
            devices = [_device(device, spec, registry) for device in registry.expand([name]) if (spec := registry.find(device))]
            rivals = registry.conflicts.get(name)
            reason = f"{' and '.join(rivals)} define it alike" if rivals else "no spec that loads defines it"
            known[name] = devices, "" if devices else reason
        devices, reason = known[name]
        found.append({"name": name, "from": where, "repeated": repeated, "devices": devices, "reason": reason})
    return found


def _device(name: str, spec: SpecFile, registry: Registry) -> Defined:
    """Where a device is defined, and which definitions of it have lost."""
    short = name.partition("=")[2]
    lost = [other for other in registry.specs if other is not spec and other.kind == spec.kind and short in other.devices]
    beaten: list[Place] = [{"file": other.path, "line": other.line(short)} for other in lost]
    return {"name": name, "file": spec.path, "line": spec.line(short), "beats": beaten}


class _Step:
    """One edit of a spec: ``entry`` for the report, ``op`` as the spec has it, ``safe`` as it would be applied (None: it is not)."""

    def __init__(self, entry: Edit, op: Op | None) -> None:
        self.entry = entry
        self.op = op
        self.safe: Op | None = None


class _Walk:
    """All edits of some devices against a config. ``steps``: in the order in which they are applied."""

    def __init__(
        self, registry: Registry, parts: list[Part], config: dict[str, Any], settings: Settings, *, runtime: str, family: str
    ) -> None:
        self._registry = registry
        self._loaded: dict[str, specfile.Loaded] = {}
        self._mappings = plan.mappings_of(parts, runtime) if edits.has_user_namespace(config) else ()
        self.steps: list[_Step] = []
        self._order: list[_Step] = []
        """Those that are applied, in the order in which they are."""
        faults = [] if settings["stale"] == "ignore" else stale.check(parts, host.node, host.exists)
        for stage in _STAGES:
            for origin, of_origin in parts:
                value: Any = of_origin.get(stage, [])
                for at, member in enumerate(value) if isinstance(value, list) else [(-1, value)]:
                    field = f"{stage}[{at}]" if at >= 0 else stage
                    wrong = [
                        fault.reason for fault in faults if (fault.file, fault.device) == origin and fault.field.startswith(f"{field}.")
                    ]
                    self._add((origin, {stage: [member] if at >= 0 else member}), field, wrong, config)  # type: ignore[misc] # one field
        self._decide(config, settings, family)
        self._trace(config, settings)

    def _add(self, part: Part, field: str, stale_reasons: list[str], config: dict[str, Any]) -> None:
        (file, device), _ = part
        spec = self._registry.find(device) if device else next(spec for spec in self._registry.specs if spec.path == file)
        assert spec is not None
        path = f"containerEdits.{field}"
        if device:
            path = f"devices[{list(spec.devices).index(device.partition('=')[2])}].{path}"
        if file not in self._loaded:
            self._loaded[file] = specfile.read(file)
        entry: Edit = {
            "kind": "",
            "edit": "",
            "state": "",
            "file": file,
            "line": self._loaded[file].line(path),
            "field": path,
            "device": device,
            "target": "",
            "replaces": None,
            "hardened": "",
            "stale": stale_reasons,
            "value": None,
        }
        try:
            ops = edits.to_oci([part], config, host.node, self._mappings)
        except StaleError as error:
            self.steps.append(_Step({**entry, "kind": "node", "state": "impossible", "edit": error.reason}, None))
            return
        for op in ops:
            self.steps.append(_Step({**entry, "kind": op[0], "edit": describe(op), "value": _plain(op)}, op))
        if not ops:
            words = "group 0 is left out, as the reference does"
            self.steps.append(_Step({**entry, "kind": "gid", "state": "ignored", "edit": words}, None))

    def _decide(self, config: dict[str, Any], settings: Settings, family: str) -> None:
        """Who wins, what is held, what is hardened."""
        by_op = {id(step.op): step for step in self.steps if step.op is not None}
        raw = [step.op for step in self.steps if step.op is not None]
        bind_nodes = plan.binds_nodes(raw, config, family)
        for step in by_op.values():
            step.entry["state"] = "beaten"
        index: harden.Index = {}
        for op in edits.winners(raw):
            step = by_op[id(op)]
            todo, _ = harden.settle(
                [op], config, settings, bind_nodes=bind_nodes, is_directory=host.is_directory, mappings=self._mappings, index=index
            )
            step.entry["state"] = "applied" if todo else "held"
            if todo:
                step.safe = todo[0]
                if todo[0] is not op:
                    step.entry["hardened"], step.entry["value"] = _hardened(op, todo[0]), _plain(todo[0])
                self._order.append(step)

    def _trace(self, config: dict[str, Any], settings: Settings) -> None:
        """Where each edit goes and what it replaces there."""
        after = _copy(config)
        if settings["requests.mounts"]:
            requests.remove_mounts(after)
        traced: list[edits.Traced] = []
        try:
            edits.apply(after, [step.safe for step in self._order if step.safe is not None], traced)
        except BundleError:
            pass  # pipeline.apply says it.
        for step, (_, pointer, replaced) in zip(self._order, traced):
            step.entry["target"], step.entry["replaces"] = pointer, replaced


def describe(op: Op) -> str:
    """One edit in a few words."""
    kind, value, _ = op
    if kind == "node":
        device, source = value["device"], value["hostPath"]
        owner = f" of {device.get('uid', 0)}:{device.get('gid', 0)}" if "uid" in device or "gid" in device else ""
        mode = f" {device['fileMode']:04o}" if "fileMode" in device else ""
        place = "" if source == device["path"] else f" from {source}"
        return f"{device['path']} {device['type']} {device['major']}:{device['minor']}{mode}{owner}{place}"
    if kind == "rule":
        return f"{value['type']} {value['major']}:{value['minor']} {value.get('access') or 'no access'}"
    if kind == "net":
        return f"{value[0]} as {value[1]['name']}"
    if kind == "mount":
        options = ",".join([*([value["type"]] if value.get("type") else []), *value.get("options", ())])
        source = value["source"]
        place = source if source == value["destination"] else f"{source} at {value['destination']}"
        return f"{place} ({options})" if options else place
    if kind == "hook":
        stage, hook = value
        # The first argument is the program's name once more.
        return " ".join([stage, hook["path"], *hook.get("args", ())[1:]])
    if kind == "rdt":
        return jsonio.dumps(value)
    return f"group {value}" if kind == "gid" else str(value)


def _plain(op: Op) -> Any:
    """The value of an op as it stands in the config."""
    kind, value, _ = op
    if kind == "node":
        return value["device"]
    return list(value) if kind in ("net", "hook") else value


def _hardened(op: Op, safe: Op) -> str:
    """What hardening changed in an op, and why."""
    kind, value, _ = safe
    if op[0] == "hook":
        return "gets an environment of PATH alone: it names none, and runc before 1.3 would then give it the image's"
    if op[0] == "node" and kind == "mount":
        return f"becomes a bind mount of {value['source']}: in a user namespace runc finds a node by its path on the host"
    if kind == "node":
        return f"its mode becomes {value['device']['fileMode']:04o}: crun does not take the bits of the file type away"
    if harden.is_no_bind(op[1]):
        option = next(option for option in value["options"] if option in ("bind", "rbind"))
        return f"gets the type bind and the option {option}: it names no file system, and as it stands runc and crun find no such device"
    return "gets the type bind: crun crashes without one in a user namespace"


def _dropped(parts: list[Part], runtime: str) -> list[Dropped]:
    """What this runtime would drop in silence (``supported`` false), and what nobody can tell (null)."""
    found: list[Dropped] = []
    for feature, words, (file, device) in harden.needs(parts):
        supported = features.supports(runtime, feature) if runtime else None
        if not supported:
            needed = features.needed(runtime, feature)
            found.append({"what": words, "file": file, "device": device, "supported": supported, "needs": needed})
    return found


def _accesses(walk: _Walk, config: dict[str, Any]) -> list[Access]:
    """For each node whether the container's user can open it. Nothing when the config has wrong types: the runtime will say so."""
    try:
        oci_config.check(config)
    except BundleError:
        return []
    user = (config.get("process") or {}).get("user") or {}
    given = [step.op[1] for step in walk.steps if step.op is not None and step.op[0] == "gid"]
    groups = list(dict.fromkeys([*(user.get("additionalGids") or ()), *given]))
    rules = {_place(step): step.op[1].get("access", "") for step in walk.steps if step.op is not None and step.op[0] == "rule"}
    # A FIFO has no rule and needs none.
    return [
        _access(step, config, groups, "rw" if step.op[1]["device"]["type"] == "p" else rules.get(_place(step), ""))
        for step in walk.steps
        if step.op is not None and step.op[0] == "node" and step.entry["state"] != "beaten"
    ]


def _place(step: _Step) -> tuple[str, str, str]:
    return step.entry["file"], step.entry["device"], step.entry["field"]


def _access(step: _Step, config: dict[str, Any], groups: list[int], rule: str) -> Access:
    """Whether the container's user can open a node: ``can`` is "read and write", "read", "write", "nothing" or "" (nobody can tell).

    ``groups``: the user's additional ones; ``rule``: the letters of the cgroup rule that the spec brings with the node.
    """
    assert step.op is not None
    device, host_path = step.op[1]["device"], step.op[1]["hostPath"]
    user = (config.get("process") or {}).get("user") or {}
    uid, gid = user.get("uid") or 0, user.get("gid") or 0
    mode, owner, group = device.get("fileMode", 0o666), device.get("uid", 0), device.get("gid", 0)
    entry: Access = {
        "path": device["path"],
        "user": f"{uid}:{gid}",
        "groups": groups,
        "mode": "",
        "owner": "",
        "can": "",
        "why": "",
        "fix": "",
    }
    ids: list[int | None] = [uid, gid, *groups]
    mapped = edits.has_user_namespace(config)
    if mapped or (step.safe is not None and step.safe[0] == "mount"):
        # The node is the host's own there, whatever the spec says of its mode and owner.
        try:
            node = os.lstat(host_path)
        except (OSError, ValueError):
            return {**entry, "why": "the host has no such node"}
        mode, owner, group = node.st_mode, node.st_uid, node.st_gid
        linux = config.get("linux") or {}
        ids = [_on_host(uid, linux.get("uidMappings")), *(_on_host(each, linux.get("gidMappings")) for each in (gid, *groups))]
    kind = {"b": modes.S_IFBLK, "p": modes.S_IFIFO}.get(device["type"], modes.S_IFCHR)
    entry["mode"], entry["owner"] = modes.filemode(kind | modes.S_IMODE(mode)), f"{owner}:{group}"
    if None in ids[:2]:
        return {**entry, "why": "the config does not say how its user namespace maps the user"}
    if _overrides(config) and not mapped:
        bits, why = 6, "CAP_DAC_OVERRIDE"
    elif ids[0] == owner:
        bits, why = mode >> 6, "the node's owner"
    elif group in ids[1:]:
        bits, why = mode >> 3, f"in the node's group {group}"
    else:
        bits, why = mode, "neither the node's owner nor in its group"
        if mode >> 3 & 6 & ~mode and not mapped:
            entry["fix"] = f"give the container the group {group}, in the spec by additionalGids: [{group}]"
    allowed = ("r" in rule) * 4 | ("w" in rule) * 2
    if bits & 6 & ~allowed:
        why = f"{why}; the cgroup rule allows {'less' if allowed else 'nothing'}"
    return {**entry, "can": {6: "read and write", 4: "read", 2: "write"}.get(bits & allowed & 6, "nothing"), "why": why}


def _overrides(config: dict[str, Any]) -> bool:
    capabilities = (config.get("process") or {}).get("capabilities")
    effective = capabilities.get("effective") if isinstance(capabilities, dict) else None
    return isinstance(effective, list) and "CAP_DAC_OVERRIDE" in effective


def _on_host(number: int, mappings: Any) -> int | None:
    """An id of the container as the host's kernel knows it; None when the config does not tell."""
    for entry in mappings if isinstance(mappings, list) else ():
        first, size, outside = (entry.get(key) for key in ("containerID", "size", "hostID")) if isinstance(entry, dict) else (None,) * 3
        if type(first) is int and type(size) is int and type(outside) is int and first <= number < first + size:
            return outside + number - first
    return None


def _copy(config: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = jsonio.loads(jsonio.dumps(config))
    return copied


def _diff(before: Any, after: Any, file: str, pretty: Callable[[Any], str]) -> str:
    """A unified diff; empty when nothing differs."""
    old, new = (f"{pretty(config)}\n".splitlines(keepends=True) for config in (before, after))
    return "".join(difflib.unified_diff(old, new, file or "config.json", f"{file or 'config.json'} (edited)"))
