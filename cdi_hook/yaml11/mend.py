"""Rewrites texts that the reference's YAML scanner accepts, or that are valid JSON, so that libyaml accepts them too. Row 2, cold.

The reference's YAML library is a copy of an old libyaml. Since then, libyaml refuses a colon at the end of plain text between brackets, as
in ``env: [LD_LIBRARY_PATH=/usr/lib:]``. Some valid JSON makes both of them stumble. No line is moved.
"""

from __future__ import annotations

from cdi_hook.yaml11 import libyaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MENDED = 4 << 20
"""How many characters are parsed in vain, to be mended and parsed again."""

_ENDS = ",?[]{}"
"""Beside a colon that a blank follows, what ends plain text between brackets."""
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}

_TRIPS = (b"\x7f", b"\\ud", b"\\uD")
"""What a YAML reader trips over in most JSON of this kind, perhaps after it has read all the rest."""


def likely(data: bytes) -> bool:
    """Whether it looks like JSON that a YAML reader trips over, so that trying is a waste of time."""
    return data[:1] in (b"{", b"[") and any(trip in data for trip in _TRIPS)


def mended(data: bytes, error: Any = None) -> bytes | None:
    """The text without what the parser stumbled over, as far as that is no fault; None when nothing is to be done.

    ``error``: the parser's, with its marks, if it has tried.
    """
    try:
        text = data.decode("utf-8-sig")
        if _is_colon(error):
            better = _colons(text, error)
        else:
            better = _json(text) if text.lstrip()[:1] in ("{", "[") else text
        return None if better == text else better.encode()
    except (UnicodeError, ValueError, RecursionError):
        return None


def _is_colon(error: Any) -> bool:
    return getattr(error, "problem", None) == "found unexpected ':'" and error.context_mark is not None


def _colons(text: str, error: Any) -> str:
    """The text with each scalar of this kind in quotes. The parser cannot go on after an error, so it begins again."""
    parser_class, error_class, _ = libyaml.load()
    spent = 0
    while error is not None and _is_colon(error) and spent <= MENDED:
        better = _quoted(text, error.context_mark.index, error.problem_mark.index)
        if better is None:
            break
        spent += error.problem_mark.index
        text, error = better, None
        parser = parser_class(text)
        try:
            while parser.get_event() is not None:
                pass
        except error_class as found:
            error = found.with_traceback(None)
        finally:
            parser.dispose()
    return text


def _quoted(text: str, begin: int, end: int) -> str | None:
    """The text with the plain scalar that begins and has an unexpected colon here in quotes, as far as the reference scans.

    Quotes change nothing: what has a colon in it is text in any case.
    """
    while end < len(text) and text[end] not in _ENDS and not text[end].isspace():
        if text[end] == ":" and text[end + 1 : end + 2].isspace():
            return None
        end += 1
    scalar, rest = text[begin:end], text[end:].lstrip(" \t")
    if any(c in scalar for c in "\n\r?") or (rest != text[end:] and rest[:1] not in (*_ENDS, "#", "\n", "\r", "")):
        # More words follow, or more lines, which nobody writes; or the reference refuses it too.
        return None
    return f"{text[:begin]}'{scalar.replace(chr(39), chr(39) * 2)}'{text[end:]}"


def _json(text: str) -> str:
    """JSON as YAML. Raises ValueError when it is no JSON, or one with what cannot be told in UTF-8."""
    import json
    import re

    def token(match: re.Match[str]) -> str:
        if match[0] == "\t":
            return " "
        string = match[1]
        if "\\" in string or not string.isascii() or "\x7f" in string:
            string = json.dumps(json.loads(string), ensure_ascii=False).translate(_CONTROLS)
        # An explicit key may be long, and its colon may stand in another line.
        return string if match[2] is None else f"? {string}{match[2][:-1]}: "

    def refuse(name: str) -> object:
        raise ValueError(name)

    json.loads(text, parse_constant=refuse)
    return re.sub(r'("(?:[^"\\]|\\.)*")(\s*:)?|\t', token, text)
