"""A CDI spec file: from bytes to a checked spec, with every fault at once. Layer 2, cold.

The verdict is the reference's (``pkg/cdi/spec.go`` and what it calls), the words are ours. Three questions are kept apart, as the
reference asks them: does the text *parse* into the known fields, does the *content* hold, is the *version* high enough for what is used.
Departures are listed in ``docs/differences.md``. The fields themselves stand in ``schema``; here is what is done with them.
"""

from __future__ import annotations

import os
import stat as stat_

from cdi_hook import names, schema, yamlio
from cdi_hook.errors import CdiError, FaultsError, NameSyntaxError, SpecError, StaleError, VersionError, os_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from cdi_hook.model import Spec
    from cdi_hook.schema import Field
    from cdi_hook.yamlio import Document, Node

LARGEST = 32 << 20
"""How many bytes a spec file may have."""

_TRIES = 3
_RANGES = {"int64": range(-(1 << 63), 1 << 63), "uint32": range(1 << 32)}
_FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
_CLOSID_BYTES = 4096
_ZERO: tuple[Any, ...] = ("", 0, False, [], {}, None)
_FILE_TYPES = {
    stat_.S_IFIFO: "a FIFO",
    stat_.S_IFDIR: "a directory",
    stat_.S_IFCHR: "a device",
    stat_.S_IFBLK: "a device",
    stat_.S_IFSOCK: "a socket",
}


class Loaded:
    """What became of a spec file."""

    __slots__ = ("_document", "content_valid", "faults", "minimum_version", "notes", "parses", "spec", "version_valid")

    def __init__(self, faults: list[SpecError], document: Document | None = None) -> None:
        self.spec: Spec | None = None
        """The spec as understood; None when there is any fault."""
        self.faults = faults
        """Everything that is wrong, by line."""
        self.notes: list[SpecError] = []
        """What is accepted but not standard."""
        self.parses = False
        """Whether the text is readable and every field known and of its type."""
        self.content_valid = False
        self.version_valid = False
        self.minimum_version = ""
        """The lowest version with all that is used; empty when the text does not parse."""
        self._document = document

    def line(self, path: str) -> int:
        """The line, from 1, of a field such as ``devices[0].name``; 0 when unknown."""
        return self._document.line(path) if self._document is not None else 0


def read(path: str, *, strict: bool = False) -> Loaded:
    """The spec in a file. Never raises, and never waits: what is no regular file is not read. ``strict``: notes are faults."""
    try:
        data = _bytes(path)
    except OSError as error:
        return Loaded([SpecError(f"cannot be read: {os_words(error)}", file=path)])
    except SpecError as error:
        return Loaded([error])
    return parse(data, file=path, strict=strict)


def parse(data: bytes, *, file: str = "", strict: bool = False) -> Loaded:
    """The spec in a text; ``file`` names it in faults, and its ending tells JSON from YAML. Never raises."""
    if len(data) > LARGEST:
        return Loaded([SpecError(f"is larger than {LARGEST >> 20} MiB", file=file)])
    try:
        document = yamlio.load(data, file=file, json=file.endswith(".json"))
    except CdiError as error:
        faults = error.faults if isinstance(error, FaultsError) else [error]
        return Loaded([SpecError(fault.reason, file=file, line=fault.line, field=fault.field, fix=fault.fix) for fault in faults])
    return _decode(document, file, strict)


def check(spec: Any, *, file: str = "") -> list[SpecError]:
    """What is wrong with a spec that a program made, as a dict. ``file``: where it is to be written."""
    return _decode(yamlio.Document(yamlio.node_of(spec)), file, strict=False).faults


def minimum_version(spec: Any) -> str:
    """The lowest version of CDI that a spec, valid but for its version, can declare.

    >>> minimum_version({"kind": "acme.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]})
    '0.5.0'
    """
    return _decode(yamlio.Document(yamlio.node_of(spec)), "", strict=False).minimum_version


def locate(fault: StaleError) -> StaleError:
    """The same fault with its line in the spec, the whole path of its field, and what to do about it."""
    loaded = read(fault.file)
    path = f"containerEdits.{fault.field}"
    kind, _, name = fault.device.partition("=")
    if fault.device and loaded.spec is not None:
        at = [device["name"] for device in loaded.spec["devices"]].index(name)
        path = f"devices[{at}].{path}"
    fix = "load the driver, or generate the spec again"
    if kind.startswith("nvidia.com/") or (loaded.spec or {}).get("kind", "").startswith("nvidia.com/"):
        fix = f"load the driver, or run nvidia-ctk cdi generate --output={fault.file}"
    return StaleError(fault.reason, file=fault.file, line=loaded.line(path), field=path, fix=fix, device=fault.device)


def dump_yaml(spec: Any) -> str:
    """A spec as YAML that every reader takes for the same: text that looks like a number or a truth value is quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if yamlio.resolve(value) == value else '"')

    Dumper.add_representer(str, text)
    return "---\n" + str(yaml.dump(_ordered(spec, "spec"), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000))


def dump_json(spec: Any) -> str:
    """A spec as JSON, indented, fields in the order of the specification."""
    import json

    return json.dumps(_ordered(spec, "spec"), indent=2, ensure_ascii=False) + "\n"


def _ordered(value: Any, type_: str) -> Any:
    """The same value with the fields of each object in the order of ``schema``."""
    if isinstance(value, list):
        return [_ordered(member, type_[1:-1]) for member in value]
    fields = schema.OBJECTS.get(type_)
    if fields is None or not isinstance(value, dict):
        return value
    found = {field.name: _ordered(value[field.name], field.type) for field in fields if field.name in value}
    if type_ == "spec" and not found.get("containerEdits"):
        found.pop("containerEdits", None)
    return found


def _bytes(path: str) -> bytes:
    """The content of a regular file that holds still. Raises OSError or SpecError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        for _ in range(_TRIES):
            before = os.fstat(fd)
            if not stat_.S_ISREG(before.st_mode):
                raise SpecError(f"is {_FILE_TYPES.get(stat_.S_IFMT(before.st_mode), 'no file')}, not a regular file", file=path)
            if before.st_size > LARGEST:
                raise SpecError(f"is larger than {LARGEST >> 20} MiB", file=path)
            data = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
            after = os.fstat(fd)
            if (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (len(data), after.st_mtime_ns, after.st_ctime_ns):
                return data
            os.lseek(fd, 0, os.SEEK_SET)
    finally:
        os.close(fd)
    raise SpecError("changes while it is read", file=path, fix="its writer should write another file and rename it")


def _decode(document: Document, file: str, strict: bool) -> Loaded:
    decoder = _Decoder(document, file)
    spec = decoder.spec()
    loaded = Loaded([], document)
    loaded.parses = not decoder.unparsable
    if spec is not None:
        content = _Checker(decoder).spec(spec)
        loaded.content_valid = loaded.parses and not content
        loaded.minimum_version = decoder.minimum if loaded.parses else ""
        version = _version_fault(spec, decoder)
        loaded.version_valid = loaded.parses and version is None
        loaded.faults = decoder.unparsable + content + ([version] if version is not None else [])
    else:
        loaded.faults = decoder.unparsable
    loaded.notes = decoder.notes
    if file.endswith(".yml"):
        loaded.notes.append(SpecError("has a name that other readers of CDI pass over", file=file, fix="let it end in .yaml"))
    if strict:
        loaded.faults, loaded.notes = loaded.faults + loaded.notes, []
    loaded.faults.sort(key=lambda fault: fault.line)
    if not loaded.faults:
        loaded.spec = spec  # type: ignore[assignment] # checked, so it is one
    return loaded


def _version_fault(spec: Any, decoder: _Decoder) -> SpecError | None:
    declared = spec.get("cdiVersion", "")
    number = schema.version_number(declared)
    if number < 0:
        known = ", ".join(schema.VERSIONS[schema.version_number(schema.EARLIEST) :])
        reason = f'"{declared}" is no version of CDI' if declared else "is missing"
        return decoder.fault("cdiVersion", reason, f"write one of {known}", VersionError)
    if number < schema.version_number(decoder.minimum):
        reason = f'"{declared}" is too low: {decoder.why} needs {decoder.minimum}'
        return decoder.fault("cdiVersion", reason, f"write {decoder.minimum} or higher", VersionError)
    return None


class _Decoder:
    """Nodes into typed values by the rows of ``schema``, as the reference's JSON decoder does it."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.unparsable: list[SpecError] = []
        self.notes: list[SpecError] = []
        self.minimum = schema.EARLIEST
        self.why = "the specification"
        self._version = -1
        self._device = -1
        self._devices = 0

    def fault(self, path: str, reason: str, fix: str = "", kind: type[SpecError] = SpecError, line: int = 0) -> SpecError:
        return kind(reason, file=self.file, line=line or self.document.line(path), field=path, fix=fix)

    def spec(self) -> dict[str, Any] | None:
        root = self.document.root
        if root.kind == "scalar" and root.value is None:
            self.unparsable.append(SpecError("is empty", file=self.file, fix="write a spec, or remove the file"))
            return None
        if root.kind != "map":
            self._refuse("", root, "an object with cdiVersion, kind and devices")
            return None
        for entry in root.value:
            if entry.key == "cdiVersion" and entry.node.kind == "scalar" and isinstance(entry.node.value, str):
                self._version = schema.version_number(entry.node.value)
            elif entry.key == "devices" and entry.node.kind == "list":
                self._devices = len(entry.node.value)
        found: dict[str, Any] = {}
        self._object(root, "spec", "", found)
        for rule in schema.RULES:
            if rule.test(found):
                self._need(rule.since, rule.meaning)
        return found

    def _need(self, version: str, why: str) -> None:
        if schema.version_number(version) > schema.version_number(self.minimum):
            self.minimum, self.why = version, why

    def _refuse(self, path: str, node: Node, wanted: str) -> None:
        found = {"map": "an object", "list": "a list"}.get(node.kind) or _shown(node.value)
        self.unparsable.append(self.fault(path, f"is {found}, not {wanted}", line=node.line))

    def _object(self, node: Node, type_: str, path: str, found: dict[str, Any]) -> None:
        """Fill ``found`` from the members of a map. In the order of the keys, since of two spellings of one field the last holds."""
        members = []
        for entry in node.value:
            field = self._field(type_, _text(entry.key))
            if field is None:
                self._unknown(type_, path, entry)
            else:
                members.append((_text(entry.key), field, entry.node))
        for key, field, member in sorted(members, key=lambda item: item[0].encode("utf-8", "surrogatepass")):
            self._member(type_, field, member, f"{path}.{key}" if path else key, found)
        if type_ in ("spec", "device"):
            found.setdefault("containerEdits", {})
        for field in schema.OBJECTS[type_]:
            # In the order of the rows, without what is as good as absent.
            value = found.pop(field.name, None)
            if value is not None and (value not in _ZERO or field.pointer or (value == {} and field.type in ("edits", "intelRdt"))):
                found[field.name] = value

    def _field(self, type_: str, key: str) -> Field | None:
        folded = key.translate(_FOLDED)
        folded = folded.lower() if folded.isascii() else key
        for field in schema.OBJECTS[type_]:
            if field.name.lower() == folded and self._has(field):
                return field
        return None

    def _has(self, field: Field) -> bool:
        if not field.until:
            return True
        return schema.version_number(field.since) <= self._version <= schema.version_number(field.until)

    def _member(self, type_: str, field: Field, node: Node, path: str, found: dict[str, Any]) -> None:
        if node.kind == "scalar" and node.value is None:
            return
        value: Any
        if field.element:
            value = self._list(field, node, path)
        elif field.type in schema.OBJECTS:
            value = found.get(field.name, {})
            if node.kind != "map":
                self._refuse(path, node, "an object")
                return
            self._object(node, field.type, path, value)
        else:
            value = self._scalar(field.type, node, path)
            if field.type == "map" and value is not None:
                value = {**found.get(field.name, {}), **value}
        if value is None:
            return
        found[field.name] = value
        # An empty list of schemata counts: to the reference it is there. Others count when something is in them.
        if value not in _ZERO or field.type == "intelRdt" or field.name == "schemata":
            self._uses(type_, field, path)

    def _uses(self, type_: str, field: Field, path: str) -> None:
        if (type_, field.name) in schema.LAST_DEVICE_ONLY and 0 <= self._device < self._devices - 1:
            if 0 <= self._version < schema.version_number(field.since):
                self.notes.append(self.fault(path, f"needs version {field.since}", "declare it; some readers of CDI refuse the file"))
            return
        self._need(field.since, path)

    def _list(self, field: Field, node: Node, path: str) -> list[Any] | None:
        if field.element == "hook" and node.kind == "map":
            return self._hooks_by_stage(node, path)
        if node.kind != "list":
            self._refuse(path, node, "a list")
            return None
        values = []
        for at, member in enumerate(node.value):
            place = f"{path}[{at}]"
            if field.element == "device":
                self._device = at
            if field.element in schema.OBJECTS:
                value: Any = {}
                if field.element == "device":
                    value["containerEdits"] = {}
                if member.kind == "map":
                    self._object(member, field.element, place, value)
                elif member.kind != "scalar" or member.value is not None:
                    self._refuse(place, member, "an object")
            elif member.kind == "scalar" and member.value is None:
                value = "" if field.element == "string" else 0
            else:
                value = self._scalar(field.element, member, place)
            values.append(value)
        if field.element == "device":
            self._device = -1
        return values

    def _hooks_by_stage(self, node: Node, path: str) -> list[Any]:
        """``hooks`` as OCI has them, an object of lists by stage, which another implementation of CDI writes."""
        self.notes.append(self.fault(path, "is an object keyed by stage", "write a list, with hookName in each hook", line=node.line))
        hooks = []
        for entry in node.value:
            for hook in self._list(schema.Field(_text(entry.key), "[hook]", ""), entry.node, f"{path}.{_text(entry.key)}") or ():
                hooks.append({"hookName": _text(entry.key), **hook})
        return hooks

    def _scalar(self, type_: str, node: Node, path: str) -> Any:
        """The value of a scalar field or a map of text; None after a fault."""
        if type_ == "map":
            if node.kind != "map":
                self._refuse(path, node, "an object of text by text")
                return None
            values = {_text(entry.key): self._scalar("string", entry.node, f"{path}.{_text(entry.key)}") for entry in node.value}
            return {key: "" if value is None else value for key, value in values.items()}
        value = node.value
        if node.kind == "scalar":
            if type_ == "string":
                return "" if value is None else _text(value)
            if type_ == "bool":
                if isinstance(value, bool):
                    return value
            else:
                whole = _whole(value)
                if whole is not None and whole in _RANGES[type_] and not (type_ == "uint32" and str(value) == "-0.0"):
                    return whole
        wanted = {"string": "text", "bool": "true or false", "int64": "a whole number", "uint32": "a whole number from 0 to 4294967295"}
        self._refuse(path, node, wanted[type_])
        return None

    def _unknown(self, type_: str, path: str, entry: yamlio.Entry) -> None:
        from difflib import get_close_matches

        name = _text(entry.key)
        known = [field.name for field in schema.OBJECTS[type_] if self._has(field)]
        near = get_close_matches(name, known, 1)
        fix = f"do you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        gone = next((field for field in schema.OBJECTS[type_] if field.until and field.name == name), None)
        if gone is not None:
            fix = f"only versions {gone.since} to {gone.until} have it"
        self.unparsable.append(self.fault(f"{path}.{name}" if path else name, "is no field of CDI", fix, line=entry.line))


class _Checker:
    """What the fields say: the rules of the reference's ``Validate`` functions."""

    def __init__(self, decoder: _Decoder) -> None:
        self._decoder = decoder
        self._faults: list[SpecError] = []

    def spec(self, spec: dict[str, Any]) -> list[SpecError]:
        vendor, class_ = names.split_kind(spec.get("kind", ""))
        if not vendor:
            self._fault("kind", f'"{class_}" is not vendor/class' if class_ else "is missing", "write vendor.com/class")
        else:
            self._name("kind", names.check_vendor, vendor)
            self._name("kind", names.check_class, class_)
        self._edits(spec["containerEdits"], "containerEdits")
        seen: dict[str, int] = {}
        for at, device in enumerate(spec.get("devices", ())):
            path = f"devices[{at}]"
            name = device.get("name", "")
            if not name:
                self._fault(f"{path}.name", "is missing", "give the device a name")
            else:
                self._name(f"{path}.name", names.check_device, name)
            if name and name in seen:
                self._fault(f"{path}.name", f'"{name}" is the name of devices[{seen[name]}] too', "give each device a name of its own")
            seen.setdefault(name, at)
            if not device["containerEdits"]:
                self._fault(f"{path}.containerEdits", "has no edits", "say what the container gets, such as deviceNodes")
            self._edits(device["containerEdits"], f"{path}.containerEdits")
        if not seen:
            self._fault("devices", "has no devices", "define at least one")
        return self._faults

    def _fault(self, path: str, reason: str, fix: str) -> None:
        self._faults.append(self._decoder.fault(path, reason, fix))

    def _name(self, path: str, check_: Callable[[str], None], text: str) -> None:
        try:
            check_(text)
        except NameSyntaxError as error:
            self._fault(path, error.reason, error.fix)

    def _edits(self, edits: dict[str, Any], path: str) -> None:
        self._env(edits, path)
        for at, node in enumerate(edits.get("deviceNodes", ())):
            self._device_node(node, f"{path}.deviceNodes[{at}]")
        for at, hook in enumerate(edits.get("hooks", ())):
            place = f"{path}.hooks[{at}]"
            if hook.get("hookName") not in schema.HOOK_NAMES:
                self._choice(f"{place}.hookName", hook.get("hookName", ""), schema.HOOK_NAMES)
            self._required(hook, place, "path", "give the absolute path on the host")
            self._env(hook, place)
        for at, mount in enumerate(edits.get("mounts", ())):
            self._required(mount, f"{path}.mounts[{at}]", "hostPath", "give the absolute path on the host")
            self._required(mount, f"{path}.mounts[{at}]", "containerPath", "give the absolute path in the container")
        if "intelRdt" in edits:
            self._clos(edits["intelRdt"].get("closID", ""), f"{path}.intelRdt.closID")
        self._net_devices(edits.get("netDevices", ()), f"{path}.netDevices")

    def _required(self, value: dict[str, Any], path: str, name: str, fix: str) -> None:
        if not value.get(name):
            self._fault(f"{path}.{name}", "is missing or empty", fix)

    def _choice(self, path: str, value: str, allowed: tuple[str, ...]) -> None:
        self._fault(path, f'is "{value}"' if value else "is missing", f"write one of {', '.join(allowed)}")

    def _env(self, edits: dict[str, Any], path: str) -> None:
        for at, text in enumerate(edits.get("env", ())):
            if (text or "").find("=") <= 0:
                # Not the text itself: it may be a secret.
                self._fault(f"{path}.env[{at}]", "is not NAME=value", "write a name, = and a value")

    def _device_node(self, node: dict[str, Any], path: str) -> None:
        self._required(node, path, "path", "give the absolute path in the container")
        if node.get("type", "") not in ("", *schema.DEVICE_TYPES):
            self._choice(f"{path}.type", node["type"], schema.DEVICE_TYPES)
        permissions = node.get("permissions", "")
        if permissions != "none" and permissions.strip("rwm"):
            self._fault(f"{path}.permissions", f'is "{permissions}"', "write letters of rwm, or none")

    def _clos(self, name: str, path: str) -> None:
        if name == "/":
            return
        if len(name.encode("utf-8", "surrogatepass")) >= _CLOSID_BYTES or name in (".", "..") or "/" in name or "\n" in name:
            self._fault(path, "is no name of a file", "write a name below /sys/fs/resctrl, or / alone")

    def _net_devices(self, devices: Any, path: str) -> None:
        seen: dict[tuple[str, str], int] = {}
        for at, device in enumerate(devices):
            for key in ("hostInterfaceName", "name"):
                self._required(device, f"{path}[{at}]", key, "give the name of the interface")
                value = device.get(key, "")
                if value and (key, value) in seen:
                    self._fault(f"{path}[{at}].{key}", f'"{value}" stands in {path}[{seen[key, value]}] too', "name each interface once")
                seen.setdefault((key, value), at)


def _text(value: Any) -> str:
    """A scalar where text belongs, as the reference converts it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return yamlio.float_text(value) if isinstance(value, float) else str(value)


def _whole(value: Any) -> int | None:
    """A number as the integer that its JSON form is; None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return f"the {'truth value' if isinstance(value, bool) else 'number'} {_text(value)}"
    return "text"
