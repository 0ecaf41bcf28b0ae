"""TOML configuration edited as text, so that comments, order and layout stay. Layer 3, cold.

tomlkit reads the file, says where it is broken, and replaces values; tables are inserted and taken out as lines. After each edit the
text is parsed again and compared with what was meant: a layout that these edits do not understand is refused, never half edited.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from cdi_hook.engines.base import with_breaks_of
from cdi_hook.errors import EngineError

Path = tuple[str, ...]
_HEADER = re.compile(r"([ \t]*)(\[\[?)([^\[\]]+)\]\]?[ \t]*(?:#.*)?$")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


class Block(NamedTuple):
    """A table in the text: lines ``start`` (its header) to ``end`` (one after its last line with something on it)."""

    path: Path
    start: int
    end: int
    indent: str
    """White space before the header."""


def parse(text: str, file: str) -> dict[str, Any]:
    """The plain values of a file. Raises EngineError with line and reason, or when tomlkit would not give the same bytes back."""
    try:
        document = tomlkit.parse(text)
        same = document.as_string() == text
        values = document.unwrap()
    except ParseError as error:
        reason = re.sub(r" at line \d+ col \d+$", "", str(error))
        raise EngineError(f"is not TOML: {reason}", file=file, line=error.line, fix="mend it first; the file is untouched") from None
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise EngineError(f"is not TOML: {error}", file=file, fix="mend it first; the file is untouched") from None
    if not same:
        raise EngineError("cannot be edited without changing more than asked", file=file, fix="add the handler by hand")
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
    before = parse(text, file)
    meant = deepcopy(before)
    *parents, key = path
    place = _parents(meant, tuple(parents), file)
    if value is None:
        if place.pop(key, None) is None:
            return text
        return _verified(text, _drop_line(text, tuple(parents), key), meant, file)
    had = key in place
    place[key] = value
    if had:
        return _verified(text, _replace(text, path, value, file), meant, file)
    return _verified(text, _insert_line(text, tuple(parents), f"{_key(key)} = {_literal(value)}"), meant, file)


def add_table(text: str, path: Path, value: dict[str, Any], file: str, *, after: Path = ()) -> str:
    """Add a table that is not there yet, below the blocks that begin with ``after``, in their layout; else at the end."""
    meant = parse(text, file)
    _parents(meant, path[:-1], file)[path[-1]] = value
    lines = text.splitlines(keepends=True)
    blocks = _blocks(lines)
    near = [block for block in blocks if block.path[: len(after)] == after] if after else []
    if near:
        at, outer = near[-1].end, near[0].indent
        inner = _key_indent(lines, near[0])
    else:
        at, outer, inner = len(lines), "", "  "
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    new = _table_lines(path, value, outer, inner)
    return _verified(text, "".join(lines[:at] + (["\n"] if at else []) + new + lines[at:]), meant, file)


def replace_table(text: str, path: Path, value: dict[str, Any], file: str) -> str:
    """Give a table that is there other contents, in its place."""
    lines = text.splitlines(keepends=True)
    blocks = [block for block in _blocks(lines) if block.path[: len(path)] == path]
    meant = parse(text, file)
    table(meant, path[:-1])[path[-1]] = value
    if not blocks:
        raise _layout(file)
    new = _table_lines(path, value, blocks[0].indent, _key_indent(lines, blocks[0]))
    for block in reversed(blocks):
        at = _cut(lines, block)
    spaced = (["\n"] if at and lines[at - 1].strip() else []) + new
    return _verified(text, "".join(lines[:at] + spaced + lines[at:]), meant, file)


def remove_table(text: str, path: Path, file: str) -> str:
    """Take a table and the tables below it out, with the empty line before each."""
    meant = parse(text, file)
    if table(meant, path[:-1]).pop(path[-1], None) is None:
        return text
    lines = text.splitlines(keepends=True)
    for block in reversed(_blocks(lines)):
        if block.path[: len(path)] == path:
            _cut(lines, block)
    return _verified(text, "".join(lines), meant, file)


def _parents(values: dict[str, Any], path: Path, file: str) -> dict[str, Any]:
    """The table at ``path``, made when it is missing. Raises EngineError when something else is there."""
    for key in path:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise _layout(file)
    return values


def _cut(lines: list[str], block: Block) -> int:
    """Remove a block and the empty line before it; the line where it was."""
    start = block.start
    if start and not lines[start - 1].strip():
        start -= 1
    del lines[start : block.end]
    return start


def _verified(old: str, new: str, meant: dict[str, Any], file: str) -> str:
    """The new text, with the line breaks of the old one, if it says what was meant.

    A table that only holds empty tables is as good as none: TOML needs no parents.
    """
    text = with_breaks_of(old, new)
    try:
        same = _filled(tomlkit.parse(text).unwrap()) == _filled(meant)
    except (TOMLKitError, ValueError, RecursionError):
        same = False
    if not same:
        raise _layout(file)
    return text


def _filled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    filled = {key: _filled(item) for key, item in value.items()}
    return {key: item for key, item in filled.items() if item != {}}


def _layout(file: str) -> EngineError:
    return EngineError("is laid out in a way that cannot be edited safely (inline tables?)", file=file, fix="add the handler by hand")


def _blocks(lines: list[str]) -> list[Block]:
    """All ``[table]`` blocks of the text, in order."""
    heads = [(number, match) for number, line in enumerate(lines) if (match := _HEADER.match(line.rstrip("\r\n")))]
    found = []
    for index, (start, match) in enumerate(heads):
        end = heads[index + 1][0] if index + 1 < len(heads) else len(lines)
        while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1  # comments above the next header belong to it
        path = _header_path(match[3]) if match[2] == "[" else ()  # a table of an array ends the block before it and is none of ours
        if path:
            found.append(Block(path, start, end, match[1]))
    return found


def _header_path(text: str) -> Path:
    try:
        values: Any = tomlkit.parse(f"[{text}]\n").unwrap()
    except TOMLKitError:
        return ()  # a line of a multi-line value that looks like a header
    path: Path = ()
    while isinstance(values, dict) and values:
        key = next(iter(values))
        path, values = (*path, str(key)), values[key]
    return path


def _key_indent(lines: list[str], block: Block) -> str:
    for line in lines[block.start + 1 : block.end]:
        if line.strip() and not line.lstrip().startswith("#"):
            return line[: len(line) - len(line.lstrip())]
    return block.indent + "  "


def _table_lines(path: Path, value: dict[str, Any], outer: str, inner: str) -> list[str]:
    """A table as lines: its keys, then its tables, each one step further in when the file is laid out so."""
    step = inner[len(outer) :] if inner.startswith(outer) else ""
    lines = [f"{outer}[{'.'.join(_key(key) for key in path)}]\n"]
    for key, item in value.items():
        if not isinstance(item, dict):
            lines.append(f"{inner}{_key(key)} = {_literal(item)}\n")
    for key, item in value.items():
        if isinstance(item, dict):
            lines += ["\n", *_table_lines((*path, key), item, outer + step, inner + step)]
    return lines


def _key(key: str) -> str:
    return key if _BARE.match(key) else tomlkit.item(key).as_string()


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    return str(tomlkit.item(value).as_string())


def _replace(text: str, path: Path, value: Any, file: str) -> str:
    document = tomlkit.parse(text)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    try:
        place[path[-1]] = value
    except (TOMLKitError, ValueError, TypeError):
        raise _layout(file) from None
    result: str = document.as_string()
    return result


def _span(lines: list[str], parents: Path) -> tuple[int, int, str] | None:
    """(first line, one after the last, indentation of keys) of a table's own keys; for the root table what follows ``version``."""
    blocks = _blocks(lines)
    if not parents:
        end = blocks[0].start if blocks else len(lines)
        start = next((n + 1 for n in range(end) if lines[n].startswith("version")), 0)
        return start, end, ""
    for block in blocks:
        if block.path == parents:
            return block.start + 1, block.end, _key_indent(lines, block)
    return None


def _insert_line(text: str, parents: Path, line: str) -> str:
    lines = text.splitlines(keepends=True)
    span = _span(lines, parents)
    if span is None:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        header = f"[{'.'.join(_key(key) for key in parents)}]\n"
        return "".join([*lines, *(["\n"] if lines else []), header, f"  {line}\n"])
    start, _, indent = span
    if start and not lines[start - 1].endswith("\n"):
        lines[start - 1] += "\n"
    lines.insert(start, f"{indent}{line}\n")
    return "".join(lines)


def _drop_line(text: str, parents: Path, key: str) -> str:
    lines = text.splitlines(keepends=True)
    span = _span(lines, parents)
    if span:
        start, end, _ = span
        assign = re.compile(rf"[ \t]*(?:{re.escape(_key(key))}|\"{re.escape(key)}\")[ \t]*=")
        for number in range(start, end):
            if assign.match(lines[number]):
                del lines[number]
                alone = parents and end - 1 == start and lines[start - 1].strip().startswith("[")
                if alone:  # the table held only this key: it was ours, or says nothing
                    _cut(lines, Block(parents, start - 1, start, ""))
                break
    return "".join(lines)
