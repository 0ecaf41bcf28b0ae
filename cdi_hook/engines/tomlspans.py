"""Where the tables, keys and values of a TOML text begin and end. Row 4, cold.

``tomllib`` says what a text means, and refuses one that is no TOML (TOML 1.0); this says where each part of it stands, in a text that
``tomllib`` has taken. No value is understood here, only passed over.
"""

from __future__ import annotations

import re
from typing import NamedTuple

try:
    import tomllib  # type: ignore[import-not-found,unused-ignore]  # from Python 3.11 on
except ModuleNotFoundError:
    import tomli as tomllib  # type: ignore[import-not-found,no-redef,unused-ignore]

__all__ = ["Entry", "Header", "Layout", "Path", "keys", "tomllib"]

Path = tuple[str, ...]

_BLANKS = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
"""What may stand between the members of an array."""
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_PLAIN = re.compile(r"[^,\]}#\r\n]*")
"""A number, a date or a boolean, with the blanks behind it: a date may have one in it."""


class Header(NamedTuple):
    """A line ``[table]`` or ``[[array of tables]]``."""

    path: Path | None
    """None: in an array of tables, which no edit touches."""
    start: int
    """Of its line."""
    end: int
    """Behind the break of its line."""
    indent: str


class Entry(NamedTuple):
    """A key with its value, in a table or in an inline table."""

    path: Path | None
    """From the root; None in an array of tables."""
    key: tuple[int, int]
    """Where the key stands, dots included."""
    value: tuple[int, int]
    start: int
    """Of its line; in an inline table of the key."""
    end: int
    """Behind the break of its last line, a comment included; in an inline table of the value."""
    header: int
    """The number of the header above it, -1 for none."""
    inside: int
    """The number of the entry whose inline table it stands in, -1 for none."""


class Layout:
    """The parts of a text, in order. ``text``: a text that ``tomllib`` has taken."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.headers: list[Header] = []
        self.entries: list[Entry] = []
        self._arrays: list[Path] = []
        at = 0
        while at < len(text):
            at = self._line(at)

    def _line(self, start: int) -> int:
        """One statement, with the line breaks inside it. Returns where the next line begins."""
        at = _end(_BLANKS, self.text, start)
        first = self.text[at : at + 1]
        if first == "[":
            array = self.text.startswith("[[", at)
            inner = _end(_BLANKS, self.text, at + (2 if array else 1))
            stop = _end_of_key(self.text, inner)
            path: Path | None = keys(self.text[inner:stop])
            end = self._next_line(stop)
            if array:
                self._arrays.append(path or ())
            if any((path or ())[: len(other)] == other for other in self._arrays):
                path = None
            self.headers.append(Header(path, start, end, self.text[start:at]))
            return end
        if first in ("", "#", "\r", "\n"):
            return self._next_line(at)
        number = len(self.entries)
        stop = self._pair(at, self._base(), -1)
        end = self._next_line(stop)
        self.entries[number] = self.entries[number]._replace(start=start, end=end)
        return end

    def _base(self) -> Path | None:
        return self.headers[-1].path if self.headers else ()

    def _next_line(self, at: int) -> int:
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found + 1

    def _pair(self, at: int, base: Path | None, inside: int) -> int:
        """A key and its value. Returns where the value ends."""
        stop = _end_of_key(self.text, at)
        path = None if base is None else (*base, *keys(self.text[at:stop]))
        begin = _end(_BLANKS, self.text, self.text.index("=", stop) + 1)
        number = len(self.entries)
        self.entries.append(Entry(path, (at, stop), (begin, begin), at, begin, len(self.headers) - 1, inside))
        end = self._value(begin, path, number)
        self.entries[number] = self.entries[number]._replace(value=(begin, end), end=end)
        return end

    def _value(self, at: int, path: Path | None, number: int) -> int:
        """Where a value ends. ``number``: the entry whose inline tables are looked into; -1: none are, as in an array."""
        for string in _STRINGS:
            match = string.match(self.text, at)
            if match:
                return match.end()
        if self.text.startswith("[", at):
            return self._array(at)
        if self.text.startswith("{", at):
            return self._inline(at, path, number)
        match = _PLAIN.match(self.text, at)
        assert match is not None
        return at + len(match[0].rstrip())

    def _array(self, at: int) -> int:
        at = _end(_SPACE, self.text, at + 1)
        while not self.text.startswith("]", at):
            at = _end(_SPACE, self.text, self._value(at, None, -1))
            if self.text.startswith(",", at):
                at = _end(_SPACE, self.text, at + 1)
        return at + 1

    def _inline(self, at: int, path: Path | None, number: int) -> int:
        at = _end(_SPACE, self.text, at + 1)
        while not self.text.startswith("}", at):
            if number >= 0:
                at = self._pair(at, path, number)
            else:
                at = self._value(_end(_BLANKS, self.text, self.text.index("=", _end_of_key(self.text, at)) + 1), None, -1)
            at = _end(_SPACE, self.text, at)
            if self.text.startswith(",", at):
                at = _end(_SPACE, self.text, at + 1)
        return at + 1

    def block_end(self, number: int) -> int:
        """Where a table's own lines end: behind its last key, or its header. Comments above the next header belong to that."""
        last = [entry.end for entry in self.entries if entry.header == number and entry.inside < 0]
        return last[-1] if last else self.headers[number].end if number >= 0 else 0

    def keys_indent(self, number: int) -> str:
        """The white space before the keys of a table; two blanks more than its header where it has none."""
        for entry in self.entries:
            if entry.header == number and entry.inside < 0:
                return self.text[entry.start : entry.key[0]]
        return self.headers[number].indent + "  " if number >= 0 else ""


def keys(text: str) -> Path:
    """The parts of a key as it is written, dots, quotes and blanks included."""
    found = []
    for part in _KEY.findall(text):
        value = part
        if part[0] in "\"'":
            value = tomllib.loads(f"x = {part}")["x"]
        found.append(value)
    return tuple(found)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _end_of_key(text: str, at: int) -> int:
    """Where a key ends that begins here; blanks may stand around its dots."""
    at = _end(_KEY, text, at)
    while True:
        dot = _end(_BLANKS, text, at)
        if not text.startswith(".", dot):
            return at
        at = _end(_KEY, text, _end(_BLANKS, text, dot + 1))
