"""What is valid in a spec and yet hardly meant, or fails for other readers of CDI. Row 4, cold.

A warning never makes a spec invalid for us: the verdict stays the reference's. Each rule is a row of `RULES` that goes through one spec;
what needs the text, the host or several files comes after.
"""

from __future__ import annotations

import os
import re

from cdi_hook.cdi import trust
from cdi_hook.cdi.names import split_kind
from cdi_hook.errors import SpecError
from cdi_hook.yaml11 import constructor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from cdi_hook.cdi.registry import Registry, SpecFile
    from cdi_hook.cdi.specfile import Loaded

    Found = Iterator[tuple[str, str, str]]
    """Field, reason, fix."""

_COMMENT = re.compile(r"(?:^|\s)//(?:\s|$)|/\*")
_TEMPLATE = re.compile(r"\$\{[^}]*\}|\{\{.*?\}\}|<no value>")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BINDS = ("bind", "rbind")


def warnings(loaded: Loaded, data: bytes, *, file: str = "") -> list[SpecError]:
    """What to warn of in one file. ``data``: its bytes. Never raises for what is in it."""
    found = []
    line = constructor.second_document(data)
    if line:
        reason = "begins a second document, which no reader of CDI looks at: the devices in it do not exist"
        found.append(SpecError(reason, file=file, line=line, fix="put each document into a file of its own"))
    if loaded.spec is not None:
        for rule in RULES:
            for field, reason, fix in rule(loaded.spec):
                found.append(SpecError(reason, file=file, line=loaded.line(field), field=field, fix=fix))
    return sorted(found, key=lambda warning: warning.line)


def of_devices(registry: Registry, names: Iterable[str], *, mends_mounts: bool = False) -> list[SpecError]:
    """The warnings that concern these devices: in their own edits, or in those of their specs.

    ``mends_mounts``: whether the caller makes bind mounts of those that name no file system, so that nobody need hear of them.
    """
    rules = [rule for rule in RULES if not (mends_mounts and rule is mounts)]
    wanted: dict[str, tuple[SpecFile, set[str]]] = {}
    for name in names:
        spec = registry.find(name)
        if spec is not None:
            _, prefixes = wanted.setdefault(spec.path, (spec, {"containerEdits.", "kind"}))
            prefixes.add(f"devices[{list(spec.devices).index(name.partition('=')[2])}].")
    found = []
    for spec, prefixes in wanted.values():
        some = {**spec.spec, "devices": [device if f"devices[{at}]." in prefixes else {} for at, device in enumerate(spec.spec["devices"])]}
        for rule in rules:
            for field, reason, fix in rule(some):
                found.append(SpecError(reason, file=spec.path, line=spec.field_line(field), field=field, fix=fix))
    return found


def between(specs: Iterable[SpecFile]) -> list[SpecError]:
    """Names in several files that differ only by case. (Those of one file are a rule.)"""
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for spec in specs:
        for name in spec.devices:
            whole = f"{spec.kind}={name}"
            other, path = seen.setdefault(whole.lower(), (whole, spec.path))
            if other != whole and path != spec.path:
                reason = f"{whole} differs from {other} of {path} only by case"
                found.append(SpecError(reason, file=spec.path, line=spec.line(name), fix="whoever asks for one may mean the other"))
    return found


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a spec with the field it stands in."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from _texts(member, f"{path}[{at}]")
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, f"{path}.{key}" if path else str(key))


def _edits(spec: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All container edits of a spec, with their path."""
    yield "containerEdits", spec.get("containerEdits", {})
    for at, device in enumerate(spec.get("devices", ())):
        yield f"devices[{at}].containerEdits", device.get("containerEdits", {})


def _members(spec: Any, kind: str) -> Iterator[tuple[str, Any]]:
    for path, edits in _edits(spec):
        for at, member in enumerate(edits.get(kind, ())):
            yield f"{path}.{kind}[{at}]", member


def comments(spec: Any) -> Found:
    """``// …`` and ``/* … */``, which neither YAML nor JSON takes for a comment."""
    for path, text in _texts(spec):
        if _COMMENT.search(text):
            yield (
                path,
                "has a comment of JavaScript in its value: to YAML and JSON it is text like any other",
                "take it out, or write # in YAML",
            )


def templates(spec: Any) -> Found:
    """Placeholders that nobody has filled in."""
    for path, text in _texts(spec):
        match = _TEMPLATE.search(text)
        if match and not _is_script(spec, path):
            yield path, f"still has the placeholder {match[0]}, which no reader of CDI fills in", "write what is meant"


def _is_script(spec: Any, path: str) -> bool:
    """Whether this is the argument of a shell's ``-c``, where ``${X}`` means something."""
    match = re.fullmatch(r"(.*hooks\[\d+\])\.args\[(\d+)\]", path)
    if not match:
        return False
    hook: Any = next((hook for place, hook in _members(spec, "hooks") if place == match[1]), {})
    return "-c" in hook.get("args", ())[: int(match[2])]


def variables(spec: Any) -> Found:
    """Environment entries whose name no shell and no program can use."""
    for path, entry in _members(spec, "env"):
        name = entry.partition("=")[0]
        if not _VARIABLE.match(name):
            yield path, "sets a variable whose name is none", "begin it with a letter or underscore, and use these and digits alone"


def one_letter(spec: Any) -> Found:
    """The reference library crashes on them (``pkg/parser``, up to 1.1.0)."""
    for part, name in zip(("vendor", "class"), split_kind(spec.get("kind", ""))):
        if len(name) == 1:
            reason = f'the {part} "{name}" has one letter: CRI-O does not start with such a file, and containerd fails each create'
            yield "kind", reason, "choose a longer name"


def case(spec: Any) -> Found:
    """Devices of one file whose names differ only by case."""
    seen: dict[str, str] = {}
    for at, device in enumerate(spec.get("devices", ())):
        name = device.get("name", "")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            yield f"devices[{at}].name", f'"{name}" differs from "{other}" only by case', "whoever asks for one may mean the other"


def mounts(spec: Any) -> Found:
    """Mounts that name no file system, which other engines hand to the runtime as they are."""
    for path, mount in _members(spec, "mounts"):
        if (mount.get("type") or "none") in ("none", "bind") and not any(option in _BINDS for option in mount.get("options", ())):
            reason = "names neither a file system nor bind: with other engines the runtime finds no such device"
            yield f"{path}.options" if mount.get("options") else path, reason, "add the option rbind for a directory, bind for a file"


def replaceable(spec: Any) -> Found:
    """Files and programs of the host that somebody other than root can replace."""
    for kind, key in (("mounts", "hostPath"), ("deviceNodes", "hostPath"), ("hooks", "path")):
        for path, member in _members(spec, kind):
            place = member.get(key) or (member.get("path") if kind == "deviceNodes" else "")
            why = trust.changeable(place) if isinstance(place, str) and os.path.isabs(place) else ""
            if why and not (kind == "hooks" and member.get("hookName") == "startContainer"):
                what = "runs as root" if kind == "hooks" else "is shown to containers"
                field = f"{path}.{key}" if member.get(key) else f"{path}.path"
                yield (
                    field,
                    f"{place} {what}, and others than root can replace it: {why}",
                    "let it and its directories belong to root alone",
                )


RULES = (comments, templates, variables, one_letter, case, mounts, replaceable)
"""Each goes through a spec, and gives field, reason and fix of what it finds."""
