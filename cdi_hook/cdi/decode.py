"""From the nodes of a YAML text to the values of a spec, by the rows of ``schema``. Row 4, cold.

This is what the reference's YAML and JSON libraries do with its types: a number where text belongs becomes text, names of fields match
without regard to case, null is as good as absent, zero values are left out. What does not fit is a fault, and all of them are collected.
"""

from __future__ import annotations

from cdi_hook.cdi import schema
from cdi_hook.errors import SpecError
from cdi_hook.yaml11.constructor import MOST_FAULTS
from cdi_hook.yaml11.scalars import float_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Union

    from cdi_hook.cdi.schema import Field
    from cdi_hook.yaml11.constructor import Document, Entry, Node

    Path = Optional[tuple["Path", Union[str, int]]]
    """A field: the path of what holds it, and its name or its place in a list. Most are never spelt out."""

_RANGES = {"int64": range(-(1 << 63), 1 << 63), "uint32": range(1 << 32)}
_WORDS = {
    "string": "text",
    "bool": "true or false",
    "int64": "a whole number",
    "uint32": "a whole number from 0 to 4294967295",
    "map": "an object of text by text",
}
_FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
"""Beside the letters of ASCII, these two are the same as one of them without regard to case."""
_WRONG: Any = object()
"""In place of a value: there is a fault already."""


class _EnoughError(Exception):
    """There are as many faults as anybody reads."""


class Decoder:
    """Decodes one document. ``faults``: what does not fit; ``notes``: what is accepted but not standard."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.faults: list[SpecError] = []
        self.notes: list[SpecError] = []
        self.given_empty: list[tuple[str, str]] = []
        """Lists that are empty and left out, and yet ask for a version by being there: path and version."""
        self.version = -1
        """The place of the declared version in history; -1 if there is none that is known."""

    def spec(self) -> dict[str, Any] | None:
        """The spec as far as it can be understood; None when the text is no object at all, or has too many faults."""
        root = self.document.root
        if root.kind == "scalar" and root.value is None:
            self.faults.append(SpecError("is empty", file=self.file, fix="write a spec, or remove the file"))
            return None
        if root.kind != "map":
            self._refuse(None, root, "an object with cdiVersion, kind and devices")
            return None
        for entry in root.value:
            if entry.key == "cdiVersion" and isinstance(entry.node.value, str):
                self.version = schema.version_number(entry.node.value)
        spec: dict[str, Any] = {"containerEdits": {}}
        try:
            self._object(root, "spec", None, spec)
        except _EnoughError:
            return None
        # Always there, and last, as in the specification.
        spec["containerEdits"] = spec.pop("containerEdits")
        return spec

    def _object(self, node: Node, type_: str, path: Path, found: dict[str, Any]) -> None:
        """Fill ``found`` from the members of a map."""
        fields = schema.FIELDS[type_]
        members: list[tuple[str, Field, Entry]] = []
        exact = True
        for entry in node.value:
            key: Any = entry.key
            field = fields.get(key)
            if field is None or field.until:
                exact = False
                key = _key(entry.key)
                field = self._field(type_, key)
                if field is None:
                    self._unknown(type_, path, entry, key)
                    continue
            members.append((key, field, entry))
        if not exact:
            # There may be several spellings of one field, and to the reference they come in the order of the alphabet.
            members.sort(key=lambda member: member[0].encode("utf-8", "surrogatepass"))
        for key, field, entry in members:
            self._member(field, entry.node, (path, key), found)

    def _member(self, field: Field, node: Node, path: Path, found: dict[str, Any]) -> None:
        """Put one field into ``found``, over what another spelling of it may have put there."""
        name = field.name
        value: Any = node.value
        if node.kind == "scalar" and value is None:
            if field.pointer or field.element or field.type in ("map", "intelRdt"):
                found.pop(name, None)
            return
        if field.element:
            value = self._list(field, node, path, found.get(name, []))
            if value == [] and field.counts_empty:
                self.given_empty.append((spelt(path), field.since))
        elif field.type in schema.OBJECTS:
            if node.kind != "map":
                self._refuse(path, node, "an object")
                return
            value = found.get(name, {})
            self._object(node, field.type, path, value)
            found[name] = value
            return
        elif type(value) is not str or field.type != "string" or node.kind != "scalar" or not value.isascii():
            value = self._scalar(field.type, node, path)
            if field.type == "map" and value is not _WRONG:
                value = {**found.get(name, {}), **value}
        if value is _WRONG:
            return
        if value or field.pointer:
            found[name] = value
        else:
            found.pop(name, None)

    def _list(self, field: Field, node: Node, path: Path, old: list[Any]) -> Any:
        """The members of a list. ``old``: those of another spelling, into which these go one by one, as in the reference."""
        element = field.element
        if node.kind != "list":
            if element == "hook" and node.kind == "map":
                return self._hooks_by_stage(node, path)
            return self._refuse(path, node, "a list")
        values = []
        for at, member in enumerate(node.value):
            value: Any = member.value
            if element in schema.OBJECTS:
                known = old[at] if at < len(old) else {}
                if member.kind == "map":
                    value = known
                    self._object(member, element, (path, at), value)
                elif member.kind == "scalar" and value is None:
                    value = known if element == "device" else {}
                else:
                    value = self._refuse((path, at), member, "an object")
            elif member.kind == "scalar" and value is None:
                value = old[at] if at < len(old) else ("" if element == "string" else 0)
            elif type(value) is not str or element != "string" or member.kind != "scalar" or not value.isascii():
                value = self._scalar(element, member, (path, at))
            if value is not _WRONG:
                values.append(value)
        return values

    def _hooks_by_stage(self, node: Node, path: Path) -> list[Any]:
        """``hooks`` as OCI has them, an object of lists by stage, which another implementation of CDI writes."""
        self._note(path, node, "is an object keyed by stage", "write a list, with hookName in each hook")
        hooks: list[Any] = []
        for entry in node.value:
            stage = _key(entry.key)
            listed = self._list(schema.FIELDS["edits"]["hooks"], entry.node, (path, stage), [])
            if listed is not _WRONG:
                hooks.extend({"hookName": stage, **hook} for hook in listed)
        return hooks

    def _scalar(self, type_: str, node: Node, path: Path) -> Any:
        """The value of a scalar field or a map of text; `_WRONG` after a fault."""
        value = node.value
        if type_ == "map" and node.kind == "map":
            values = {}
            for entry in value:
                key = _key(entry.key)
                text = "" if entry.node.value is None else self._scalar("string", entry.node, (path, key))
                if text is not _WRONG:
                    values[key] = text
            return values
        if node.kind == "scalar":
            if type_ == "string":
                text = _text(value)
                if text.isascii() or _is_unicode(text):
                    return text
            elif type_ == "bool":
                if isinstance(value, bool):
                    return value
            elif type_ in _RANGES:
                whole = _whole(value)
                if whole is not None and whole in _RANGES[type_] and not (type_ == "uint32" and str(value) == "-0.0"):
                    return whole
        return self._refuse(path, node, _WORDS[type_])

    def _field(self, type_: str, key: str) -> Field | None:
        """The field that this spelling means, if the declared version has it."""
        folded = key.translate(_FOLDED)
        if folded.isascii():
            for field in schema.OBJECTS[type_]:
                if field.name.lower() == folded.lower() and self._has(field):
                    return field
        return None

    def _has(self, field: Field) -> bool:
        return not field.until or schema.version_number(field.since) <= self.version <= schema.version_number(field.until)

    def _unknown(self, type_: str, path: Path, entry: Entry, name: str) -> None:
        from difflib import get_close_matches

        known = [field.name for field in schema.OBJECTS[type_] if self._has(field)]
        near = get_close_matches(name[:MOST_FAULTS], known, 1)
        fix = f"do you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        gone = schema.FIELDS[type_].get(name)
        if gone is not None:
            fix = f"only versions {gone.since} to {gone.until} have it"
        self._fault(SpecError("is no field of CDI", file=self.file, line=entry.line, field=spelt((path, name)), fix=fix))

    def _refuse(self, path: Path, node: Node, wanted: str) -> Any:
        found = {"map": "an object", "list": "a list", "scalar": _shown(node.value)}.get(node.kind, f"a Python {node.kind}")
        self._fault(SpecError(f"is {found}, not {wanted}", file=self.file, line=node.line, field=spelt(path)))
        return _WRONG

    def _fault(self, fault: SpecError) -> None:
        self.faults.append(fault)
        if len(self.faults) >= MOST_FAULTS:
            raise _EnoughError

    def _note(self, path: Path, node: Node, reason: str, fix: str) -> None:
        if len(self.notes) < MOST_FAULTS:
            self.notes.append(SpecError(reason, file=self.file, line=node.line, field=spelt(path), fix=fix))


def spelt(path: Path) -> str:
    """A path as text: ``devices[0].name``."""
    parts: list[str] = []
    while path is not None:
        path, part = path
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return "".join(reversed(parts)).lstrip(".")


def _text(value: Any) -> str:
    """A scalar where text belongs, as the reference converts it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return float_text(value) if isinstance(value, float) else str(value)


def _key(value: Any) -> str:
    """A scalar as a key: the same, but for what is too large, or no number at all."""
    text = _text(value)
    return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(text, text) if isinstance(value, float) else text


def _is_unicode(text: str) -> bool:
    """Whether it can be written: JSON can hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(value: Any) -> int | None:
    """A number as the integer that its JSON form is; None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        # By its shortest digits: 2**63 is 9223372036854776000 then.
        digits, _, power = repr(value).partition("e")
        digits, _, fraction = digits.partition(".")
        return int(digits + fraction) * 10 ** (int(power) - len(fraction)) if power else int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return f"the {'truth value' if isinstance(value, bool) else 'number'} {_text(value)}"
    return "text" if not isinstance(value, str) or _is_unicode(value) else "text with half of a surrogate pair"
