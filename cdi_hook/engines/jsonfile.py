"""A JSON object edited as text: members are inserted, replaced and removed in place, all other bytes stay. Row 4, cold."""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Any, NamedTuple

from cdi_hook.engines.base import with_breaks_of
from cdi_hook.errors import EngineError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Member(NamedTuple):
    """One ``"key": value`` of an object, as offsets in the text."""

    key: str
    start: int
    value: int
    end: int


def parse(text: str, file: str) -> dict[str, Any]:
    """The object in the text. Raises EngineError with line and reason: broken JSON, a key that is there twice, no object."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise EngineError(f'has the key "{key}" twice', file=file, fix="remove one; the file is untouched")
            seen[key] = value
        return seen

    try:
        values = json.loads(text, object_pairs_hook=once)
    except JSONDecodeError as error:
        raise EngineError(f"is not JSON: {error.msg}", file=file, line=error.lineno, fix="mend it first; the file is untouched") from None
    except RecursionError:
        raise EngineError("is not JSON: nested too deeply", file=file) from None
    if not isinstance(values, dict):
        raise EngineError("is not a JSON object", file=file, line=1, fix="mend it first; the file is untouched")
    return values


def set_member(text: str, path: tuple[str, ...], value: Any, indent: str = "") -> str:
    """Set a member of the object, or of an object in it (made when missing). ``text`` must be a JSON object without doubled keys."""
    start = _skip(text, 0)
    return with_breaks_of(text, text[:start] + _set(text[start:], path, value, indent or _indent(text), ""))


def remove_member(text: str, path: tuple[str, ...]) -> str:
    """Remove a member, and the comma that goes with it."""
    members = _members(text, _skip(text, 0))
    place = next((number for number, member in enumerate(members) if member.key == path[0]), None)
    if place is None:
        return text
    member = members[place]
    if len(path) > 1:
        return text[: member.value] + remove_member(text[member.value : member.end], path[1:]) + text[member.end :]
    if place:  # from the end of the member before: takes the comma and the line break
        return text[: members[place - 1].end] + text[member.end :]
    if len(members) > 1:
        return text[: member.start] + text[members[1].start :]
    opening = text.index("{")
    return text[: opening + 1] + text[_skip(text, member.end) :]


def _set(text: str, path: tuple[str, ...], value: Any, indent: str, margin: str) -> str:
    """``text`` begins with the object's brace; ``margin`` is that of the brace's line."""
    members = _members(text, 0)
    for member in members:
        if member.key == path[0]:
            inner = text[member.value : member.end]
            if len(path) > 1 and inner.startswith("{"):
                new = _set(inner, path[1:], value, indent, _margin(text, member.start))
            else:
                new = _dump(_nest(path[1:], value), _margin(text, member.start), indent)
            return text[: member.value] + new + text[member.end :]
    if not members:
        fresh = f"{json.dumps(path[0])}: {_dump(_nest(path[1:], value), margin + indent, indent)}"
        return f"{{\n{margin}{indent}{fresh}\n{margin}}}" + text[_skip(text, 1) + 1 :]
    last = members[-1]
    gap = text[members[-2].end : last.start].replace(",", "") if len(members) > 1 else text[1 : last.start]
    inner_margin, inner_indent = (_margin(text, last.start), indent) if "\n" in gap else ("", "")
    fresh = f"{json.dumps(path[0])}: {_dump(_nest(path[1:], value), inner_margin, inner_indent)}"
    return f"{text[: last.end]},{gap or ' '}{fresh}{text[last.end :]}"


def _nest(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _dump(value: Any, margin: str, indent: str) -> str:
    if not indent:
        return json.dumps(value)
    return json.dumps(value, indent=indent).replace("\n", "\n" + margin)


def _margin(text: str, offset: int) -> str:
    """The white space that the line of ``offset`` begins with."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip())]


def _indent(text: str) -> str:
    match = re.search(r"\n([ \t]+)\"", text)
    return match[1] if match else "    "


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _members(text: str, offset: int) -> list[Member]:
    """The members of the object whose brace is at ``offset``; the text is known to be valid."""
    found: list[Member] = []
    place = _skip(text, offset + 1)
    while text[place] != "}":
        start = place
        key, place = _DECODER.raw_decode(text, start)
        value = _skip(text, _skip(text, place) + 1)
        _, end = _DECODER.raw_decode(text, value)
        found.append(Member(key, start, value, end))
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return found
