"""Checks of a decoded spec: whether its values are valid, and which version of CDI they need. Row 4, cold.

The rules of the reference's ``Validate`` functions (``pkg/cdi``) and of ``specs-go/version.go``. What a field requires stands in its row of
``schema``; here are the words for it, and the rules that concern more than one field.
"""

from __future__ import annotations

from cdi_hook.cdi import names, schema
from cdi_hook.errors import NameSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable

    Problem = tuple[str, str, str]
    """Field, reason, fix."""
    Use = tuple[str, str]
    """Field, and the version that brought it."""

_CLOSID_BYTES = 4096


def problems(spec: dict[str, Any]) -> Iterator[Problem]:
    """Everything that is wrong with the content of a spec, but for its version. ``spec``: as the decoder makes it."""
    yield from _object(spec, "spec", "")
    yield from _nothing_twice(spec.get("devices", ()), "devices", "name", "give each device a name of its own")
    yield from _net_devices(spec["containerEdits"], "containerEdits")
    for at, device in enumerate(spec.get("devices", ())):
        yield from _net_devices(device.get("containerEdits", {}), f"devices[{at}].containerEdits")


def minimum(spec: dict[str, Any], given: Iterable[Use] = ()) -> tuple[str, str, list[Use]]:
    """``(version, why, unseen)``: the lowest version with all that a spec uses, and what asks for it. ``given``: what is in use though
    it is not in the spec. ``unseen``: what asks for more, but in a device where the reference does not look."""
    least, why = schema.EARLIEST, "the specification"
    uses = list(given)
    uses += [(rule.meaning, rule.since) for rule in schema.RULES if rule.test(spec)]
    unseen: list[Use] = []
    last = f"devices[{len(spec.get('devices', ())) - 1}]."
    for type_, field, path in _gated(spec, "spec", ""):
        out_of_sight = (type_, field.name) in schema.LAST_DEVICE_ONLY and path.startswith("devices[") and not path.startswith(last)
        (unseen if out_of_sight else uses).append((path, field.since))
    for path, since in uses:
        if schema.version_number(since) > schema.version_number(least):
            least, why = since, path
    return least, why, unseen


def version_problem(declared: str, least: str, why: str) -> Problem | None:
    """What is wrong with the declared version, when ``why`` needs version ``least``."""
    number = schema.version_number(declared)
    if number < 0:
        known = ", ".join(schema.VERSIONS[schema.version_number(schema.EARLIEST) :])
        reason = f"{names.quoted(declared)} is no version of CDI" if declared else "is missing"
        return "cdiVersion", reason, f"write one of {known}"
    if number < schema.version_number(least):
        return "cdiVersion", f'"{declared}" is too low: {why} needs {least}', f"write {least} or higher"
    return None


def _gated(value: dict[str, Any], type_: str, path: str) -> Iterator[tuple[str, schema.Field, str]]:
    """The fields in use that came after the first version: type of the object, field, path."""
    fields = schema.FIELDS[type_]
    for name, member in value.items():
        field = fields[name]
        place = f"{path}{name}"
        if field.since != schema.EARLIEST:
            yield type_, field, place
        if field.type in schema.OBJECTS:
            yield from _gated(member, field.type, f"{place}.")
        elif field.element in schema.OBJECTS:
            for at, one in enumerate(member):
                if one:
                    yield from _gated(one, field.element, f"{place}[{at}].")


def _object(value: dict[str, Any], type_: str, path: str) -> Iterator[Problem]:
    """What is wrong with each field of an object."""
    for field in schema.OBJECTS[type_]:
        member = value.get(field.name)
        place = f"{path}{field.name}"
        if field.element in schema.OBJECTS:
            for at, one in enumerate(member or ()):
                yield from _object(one, field.element, f"{place}[{at}].")
        elif field.type in schema.OBJECTS:
            yield from _object(member or {}, field.type, f"{place}.") if member else ()
        elif member and field.form:
            test = FORMS[field.form]
            for at, text in enumerate(member if field.element else (member,)):
                wrong = test(text)
                if wrong:
                    yield (f"{place}[{at}]" if field.element else place, *wrong)
        elif member and field.allowed and member not in field.allowed:
            yield place, f"is {names.quoted(member)}", f"write one of {', '.join(field.allowed)}"
        if field.required and not member and field.form != "version":
            yield place, *_missing(field)


def _missing(field: schema.Field) -> tuple[str, str]:
    if field.type == "edits":
        return "has no edits", "say what the container gets, such as deviceNodes"
    if field.element:
        return f"has no {field.name}", "define at least one"
    if field.allowed:
        return "is missing", f"write one of {', '.join(field.allowed)}"
    return "is missing or empty", f"give the {field.meaning.partition(',')[0].replace('`', '')}"


def _nothing_twice(values: Any, path: str, key: str, fix: str) -> Iterator[Problem]:
    """What several objects of a list have in ``key``."""
    seen: dict[str, int] = {}
    for at, value in enumerate(values):
        name = value.get(key, "")
        if name and name in seen:
            yield f"{path}[{at}].{key}", f"{names.quoted(name)} stands in {path}[{seen[name]}] too", fix
        seen.setdefault(name, at)


def _net_devices(edits: dict[str, Any], path: str) -> Iterator[Problem]:
    for key in ("hostInterfaceName", "name"):
        yield from _nothing_twice(edits.get("netDevices", ()), f"{path}.netDevices", key, "name each interface once")


def _kind(text: str) -> tuple[str, str] | None:
    vendor, class_ = names.split_kind(text)
    if not vendor:
        return f"{names.quoted(text)} is not vendor/class", "write vendor.com/class"
    return _name(names.check_vendor, vendor) or _name(names.check_class, class_)


def _name(check: Callable[[str], None], text: str) -> tuple[str, str] | None:
    try:
        check(text)
    except NameSyntaxError as error:
        return error.reason, error.fix
    return None


def _device(text: str) -> tuple[str, str] | None:
    return _name(names.check_device, text)


def _env(text: str) -> tuple[str, str] | None:
    # The text itself is not told: it may be a secret.
    return None if text.find("=") > 0 else ("is not NAME=value", "write a name, = and a value")


def _permissions(text: str) -> tuple[str, str] | None:
    return None if text == "none" or not text.strip("rwm") else (f"is {names.quoted(text)}", "write letters of rwm, or none")


def _clos(text: str) -> tuple[str, str] | None:
    if text != "/" and (len(text.encode()) >= _CLOSID_BYTES or text in (".", "..") or "/" in text or "\n" in text):
        return "is no name of a file", "write a name below /sys/fs/resctrl, or / alone"
    return None


FORMS: dict[str, Callable[[str], tuple[str, str] | None]] = {
    "version": lambda _: None,  # version_problem says it, for it depends on the rest of the spec
    "kind": _kind,
    "device": _device,
    "env": _env,
    "permissions": _permissions,
    "closID": _clos,
}
"""What is wrong with a text of this form: reason and fix."""
