"""TOML configuration edited as text, so that comments, order and layout stay. Row 4, cold.

Each edit is proven by its meaning: the new text must parse to the old values plus exactly what was asked, whatever its layout. What
cannot be edited so is refused, with the lines to add by hand, and never half edited.
"""

from __future__ import annotations

import datetime
import json
import re
from copy import deepcopy
from typing import Any

from cdi_hook.engines.tomlspans import Entry, Layout, Path, tomllib
from cdi_hook.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def parse(text: str, file: str) -> dict[str, Any]:
    """The values of a file. Raises EngineError with line and reason when it is not TOML."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        where = _WHERE.search(str(error))
        line = int(where[1] or text.count("\n") + 1) if where else 0
        reason = _WHERE.sub("", str(error)) or type(error).__name__
        raise EngineError(f"is not TOML: {reason}", file=file, line=line, fix="mend it first; the file is untouched") from None
    return values


def get(values: dict[str, Any], path: Path) -> Any:
    """The value at a path, or None."""
    place: Any = values
    for key in path:
        if not isinstance(place, dict) or key not in place:
            return None
        place = place[key]
    return place


def table(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The table at a path; empty when it is missing or something else."""
    found = get(values, path)
    return found if isinstance(found, dict) else {}


def set_value(text: str, path: Path, value: Any, file: str) -> str:
    """Set the key at ``path`` (None: remove it), keeping everything else. Raises EngineError when the layout does not allow it."""
    return _edit(text, path, value, file, after=())


def add_table(text: str, path: Path, value: dict[str, Any], file: str, *, after: Path = ()) -> str:
    """Add a table that is not there yet, below the tables that begin with ``after``, in their layout; else at the end."""
    return _edit(text, path, value, file, after=after)


def replace_table(text: str, path: Path, value: dict[str, Any], file: str) -> str:
    """Give a table that is there other contents, in its place."""
    return _edit(text, path, value, file, after=path[:-1])


def remove_table(text: str, path: Path, file: str) -> str:
    """Take a table and the tables below it out, with the empty line before each."""
    return _edit(text, path, None, file, after=())


def together(text: str, *edits: Callable[[str], str]) -> str:
    """The text after several edits. Raises EngineError with the lines of all that the layout does not allow."""
    refused: list[EngineError] = []
    for edit in edits:
        try:
            text = edit(text)
        except EngineError as error:
            if not error.lines:
                raise
            refused.append(error)
    if refused:
        refused[0].lines = tuple(line for error in refused for line in error.lines)
        raise refused[0]
    return text


def _edit(text: str, path: Path, value: Any, file: str, *, after: Path) -> str:
    """The text with ``value`` at ``path`` (None: with nothing there). Raises EngineError when it cannot be proven."""
    meant = parse(text, file)
    place: Any = meant
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise _refused(path, value, file)
    if value is None:
        if path[-1] not in place:
            return text
        del place[path[-1]]
    else:
        place[path[-1]] = deepcopy(value)
    try:
        layout = Layout(text)
        if value is None:
            new = _cut(layout, path)[0]
        elif get(parse(text, file), path) is None:
            new = _put(layout, path, value, after)
        else:
            new = _exchange(layout, path, value)
        said = tomllib.loads(new)
    except (ValueError, RecursionError):
        raise _refused(path, value, file) from None
    if not _same(_filled(said), _filled(meant)):
        raise _refused(path, value, file)
    return new


def _exchange(layout: Layout, path: Path, value: Any) -> str:
    """Another value in the place of one that is there."""
    for entry in layout.entries:
        if entry.path == path and not (isinstance(value, dict) and entry.inside < 0 and not layout.text.startswith("{", entry.value[0])):
            return layout.text[: entry.value[0]] + _literal(value) + layout.text[entry.value[1] :]
    headers = [header for header in layout.headers if header.path is not None and header.path[: len(path)] == path]
    if headers and isinstance(value, dict):
        number = layout.headers.index(headers[0])
        outer, inner = headers[0].indent, layout.keys_indent(number)
        text, at = _cut(layout, path)
        lines = _table_lines(path, value, outer, inner, _break(layout.text))
        before = text[:at]
        gap = _break(text) if before and not _ends_blank(before) else ""
        return before + gap + lines + text[at:]
    text, _ = _cut(layout, path)
    return _put(Layout(text), path, value, path[:-1])


def _cut(layout: Layout, path: Path) -> tuple[str, int]:
    """The text without what is at and below a path, and where the first of it was."""
    text = layout.text
    spans: list[tuple[int, int]] = []
    gone = set()
    for number, header in enumerate(layout.headers):
        if header.path is not None and header.path[: len(path)] == path:
            gone.add(number)
            spans.append((_with_blank_line(text, header.start), layout.block_end(number)))
    for entry in layout.entries:
        if entry.path is None or entry.path[: len(path)] != path or entry.header in gone:
            continue
        if entry.inside < 0:
            spans.append((entry.start, entry.end))
            if _is_alone(layout, entry):
                # The header that now says nothing was ours, or says nothing.
                spans[-1] = (_with_blank_line(text, layout.headers[entry.header].start), entry.end)
        elif (layout.entries[entry.inside].path or ())[: len(path)] != path:
            spans.append(_with_comma(layout, entry))
    for start, end in sorted(set(spans), reverse=True):
        text = text[:start] + text[end:]
    return text, min((start for start, _ in spans), default=len(text))


def _is_alone(layout: Layout, entry: Entry) -> bool:
    if entry.header < 0:
        return False
    own = [other for other in layout.entries if other.header == entry.header and other.inside < 0]
    return len(own) == 1 and layout.headers[entry.header].end == entry.start


def _with_comma(layout: Layout, entry: Entry) -> tuple[int, int]:
    """The span of a member of an inline table with one of the commas beside it."""
    text = layout.text
    after = re.compile(r"[ \t]*,[ \t]*").match(text, entry.end)
    if after:
        return entry.start, after.end()
    before = re.search(r"[ \t]*,[ \t]*\Z", text[: entry.start])
    return (before.start() if before else entry.start), entry.end


def _put(layout: Layout, path: Path, value: Any, after: Path) -> str:
    """A new key or table, where the layout of what is around it wants it."""
    inline = [
        entry for entry in layout.entries if entry.path == path[: len(entry.path or ())] and layout.text.startswith("{", entry.value[0])
    ]
    if inline:
        return _put_inline(layout, inline[-1], path, value)
    own = next((number for number, header in enumerate(layout.headers) if header.path == path[:-1]), None)
    if not isinstance(value, dict) and (own is not None or len(path) == 1):
        return _put_line(layout, -1 if own is None else own, _key(path[-1]), value)
    dotted = [entry for entry in layout.entries if entry.inside < 0 and _shares(layout, entry, path)]
    if dotted:
        # A table that dotted keys have made is added to by dotted keys below the same header.
        longest = max(_shares(layout, entry, path) for entry in dotted)
        return _put_dotted(layout, [entry for entry in dotted if _shares(layout, entry, path) == longest][-1], path, value)
    if not isinstance(value, dict):
        return _append(layout, _table_lines(path[:-1], {path[-1]: value}, "", "  ", _break(layout.text)))
    near = [number for number, header in enumerate(layout.headers) if after and (header.path or ())[: len(after)] == after]
    if not near:
        return _append(layout, _table_lines(path, value, "", "  ", _break(layout.text)))
    outer, inner = layout.headers[near[0]].indent, layout.keys_indent(near[0])
    return _insert_block(layout, layout.block_end(near[-1]), _table_lines(path, value, outer, inner, _break(layout.text)))


def _shares(layout: Layout, entry: Entry, path: Path) -> int:
    """How many parts of ``path`` the dotted key of an entry has made as tables, its header's included; 0: none by dots."""
    base = len(layout.headers[entry.header].path or ()) if entry.header >= 0 else 0
    if entry.path is None or len(entry.path) < base + 2 or entry.path[:base] != path[:base]:
        return 0
    common = base
    while common < min(len(entry.path) - 1, len(path)) and entry.path[common] == path[common]:
        common += 1
    return common if common > base else 0


def _put_inline(layout: Layout, holder: Entry, path: Path, value: Any) -> str:
    rest = path[len(holder.path or ()) :]
    end = holder.value[1] - 1
    body = layout.text[holder.value[0] + 1 : end]
    member = f"{'.'.join(_key(key) for key in rest)} = {_literal(value)}"
    new = f"{body.rstrip()}, {member}" if body.strip() else f" {member}"
    return layout.text[: holder.value[0] + 1] + new + (" " if body.endswith(" ") or not body.strip() else "") + layout.text[end:]


def _put_line(layout: Layout, number: int, key: str, value: Any) -> str:
    """A key right below a header; of the root table below ``version``."""
    text = layout.text
    if number >= 0:
        at = layout.headers[number].end
    else:
        version = [entry.end for entry in layout.entries if entry.path == ("version",)]
        at = version[0] if version else 0
    return _joined(text[:at], f"{layout.keys_indent(number)}{key} = {_literal(value)}{_break(text)}", text[at:])


def _put_dotted(layout: Layout, beside: Entry, path: Path, value: Any) -> str:
    base = layout.headers[beside.header].path or () if beside.header >= 0 else ()
    indent = layout.text[beside.start : beside.key[0]]
    lines = [
        f"{indent}{'.'.join(_key(key) for key in keys[len(base) :])} = {_literal(one)}{_break(layout.text)}"
        for keys, one in _leaves(path, value)
    ]
    return _joined(layout.text[: beside.end], "".join(lines), layout.text[beside.end :])


def _leaves(path: Path, value: Any) -> list[tuple[Path, Any]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [leaf for key, item in value.items() for leaf in _leaves((*path, key), item)]


def _append(layout: Layout, lines: str) -> str:
    return _insert_block(layout, len(layout.text), lines)


def _insert_block(layout: Layout, at: int, lines: str) -> str:
    """A block of lines, with an empty line before it unless it is the first."""
    text = layout.text
    return _joined(text[:at], (_break(text) if text[:at] else "") + lines, text[at:])


def _joined(before: str, new: str, rest: str) -> str:
    if before and not before.endswith("\n"):
        before += _break(before + rest)
    return before + new + rest


def _break(text: str) -> str:
    """The line break of a text: that of its first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _ends_blank(text: str) -> bool:
    return not text.rstrip("\r\n") or bool(re.search(r"\n[ \t]*\r?\n\Z", text))


def _with_blank_line(text: str, start: int) -> int:
    """The start of the line, or of the empty line before it."""
    match = re.search(r"(?:\A|(?<=\n))[ \t]*\r?\n\Z", text[:start])
    return match.start() if match else start


def _table_lines(path: Path, value: dict[str, Any], outer: str, inner: str, end: str) -> str:
    """A table as lines: its keys, then its tables, each one step further in when the file is laid out so."""
    step = inner[len(outer) :] if inner.startswith(outer) else ""
    lines = [f"{outer}[{'.'.join(_key(key) for key in path)}]{end}"]
    lines += [f"{inner}{_key(key)} = {_literal(item)}{end}" for key, item in value.items() if not isinstance(item, dict)]
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [end, _table_lines((*path, key), item, outer + step, inner + step, end)]
    return "".join(lines)


def _key(key: str) -> str:
    return key if _BARE.match(key) else _string(key)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which JSON does not escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return _string(value) if isinstance(value, str) else repr(value)


def _filled(value: Any) -> Any:
    """Without tables that only hold empty tables: they are as good as none, since TOML needs no parents."""
    if not isinstance(value, dict):
        return value
    filled = {key: _filled(item) for key, item in value.items()}
    return {key: item for key, item in filled.items() if item != {}}


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type throughout: to Python 1, 1.0 and true are equal, and NaN is not equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


def _refused(path: Path, value: Any, file: str) -> EngineError:
    """The error for a layout that no edit was proven for, with what to write by hand."""
    name = ".".join(_key(key) for key in path)
    if value is None:
        return EngineError(f"is laid out in a way in which {name} cannot be taken out safely", file=file, fix="take it out by hand")
    lines = _table_lines(path, value, "", "  ", "\n") if isinstance(value, dict) else f"{name} = {_literal(value)}\n"
    error = EngineError("is laid out in a way that cannot be edited safely", file=file, fix="add these lines by hand")
    error.lines = tuple(line for line in lines.splitlines() if line)
    return error
