"""How the commands print: tables, JSON, YAML, bytes, complaints. Row 7, cold.

For a terminal with a little colour, by ``rich``; for a pipe plain, one thing a line, so that ``grep`` and ``cut`` work on it.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

from cdi_hook.errors import BundleError, CdiError, one_line, os_words
from cdi_hook.memory import replace
from cdi_hook.oci import jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Sequence
    from typing import Any

FORMATS = ("text", "json", "yaml")

_NARROWEST = 40
_INDENT = "  "
_PERMISSIONS = 0o777


def add_format(parser: ArgumentParser, formats: Sequence[str] = FORMATS) -> None:
    """The option ``--format``."""
    parser.add_argument("--format", choices=formats, default="text", help="how to print it (default: text)")


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"cdi-hook: {one_line(message)}", file=sys.stderr)


def coloured() -> bool:
    """Whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


_STYLES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2"}


def paint(text: str, style: str) -> str:
    """The text in a style, if there is colour at all."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and coloured() else text


def wrapped(text: str, indent: str, first: str) -> list[str]:
    """Lines no wider than the terminal, but for words that are; all but the first are indented, which begins with ``first``."""
    lines = textwrap.wrap(
        one_line(text), width(), initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or [first.rstrip()]


def write(data: bytes) -> None:
    """Exactly these bytes on standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def save(data: bytes, path: str) -> None:
    """Into a file: atomically, mode and owner of an old one kept, through links. A device or pipe is written to as it is.

    Raises CdiError.
    """
    target = os.path.realpath(path)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb", buffering=0) as file:
                file.write(data)
        else:
            replace(target, data, mode=_PERMISSIONS & ~_umask() & 0o666)
    except (OSError, ValueError) as error:
        words = os_words(error) if isinstance(error, OSError) else str(error)
        raise CdiError(f"cannot be written: {words}", file=path) from None


def _umask() -> int:
    old = os.umask(0o077)
    os.umask(old)
    return old


def show(value: Any, form: str) -> None:
    """A value as JSON or YAML."""
    print(_yaml(value) if form == "yaml" else pretty(value), end="" if form == "yaml" else "\n")


def _yaml(value: Any) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return jsonio.dumps(value)


def pretty(value: Any) -> str:
    """A JSON value with one member a line; numbers as in their source. Raises BundleError when it is nested too deeply."""
    try:
        return "".join(_pretty(value, "\n"))
    except RecursionError:
        raise BundleError("is nested too deeply") from None


def _pretty(value: Any, newline: str) -> Iterator[str]:
    if not isinstance(value, (dict, list)) or not value:
        yield jsonio.dumps(value)
        return
    inner = newline + _INDENT
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    separator = opening + inner
    for key, member in value.items() if isinstance(value, dict) else enumerate(value):
        yield separator
        if isinstance(value, dict):
            yield f"{jsonio.dumps(key)}: "
        yield from _pretty(member, inner)
        separator = "," + inner
    yield newline + closing


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Columns: with a header for a terminal, else the bare rows."""
    if not rows:
        return
    if coloured():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for title in header:
            drawn.add_column(title, overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(one_line(cell)) for cell in row))
        Console(highlight=False).print(drawn)
        return
    widths = [max(len(one_line(row[at])) for row in rows) for at in range(len(header))]
    for row in rows:
        print("  ".join(one_line(cell).ljust(size) for cell, size in zip(row, widths)).rstrip())


def names(found: Sequence[str], form: str) -> None:
    """Names, one a line, or a list of them."""
    if form != "text":
        show(list(found), form)
        return
    for name in found:
        print(one_line(name))


def indented(value: Any) -> None:
    """A value as YAML, below what it belongs to."""
    for line in _yaml(value).splitlines():
        print(f"    {line}")
