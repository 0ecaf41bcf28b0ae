"""What YAML 1.1 makes of a plain scalar, as the CDI reference's YAML library has it (go-yaml 2). Row 2, cold.

``yes`` is true, ``010`` is 8, ``1_000`` is 1000, ``0888`` is the float 888, timestamps stay text. Without ``re``, whose import costs
more than reading most specs.
"""

from __future__ import annotations

from struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Scalar = Union[None, bool, int, float, str]

INT64 = 1 << 63
_DIGITS = {2: "01", 8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_PLAIN_DIGITS = 19
"""Fewer decimal digits than these fit into 64 bits."""
_BASES = {"x": 16, "o": 8, "b": 2}

_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
for _value, _names in ((True, "y Y yes Yes YES true True TRUE on On ON"), (False, "n N no No NO false False FALSE off Off OFF")):
    _WORDS.update(dict.fromkeys(_names.split(), _value))
for _sign in ("", "+", "-"):
    _WORDS.update(dict.fromkeys((f"{_sign}.inf", f"{_sign}.Inf", f"{_sign}.INF"), float(f"{_sign}inf")))
_WORDS.update(dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")))


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. Integers are those of 64 bits, signed or not; larger ones become floats.

    >>> resolve("yes"), resolve("010"), resolve("0888"), resolve("1e3"), resolve("2001-01-01")
    (True, 8, 888.0, 1000.0, '2001-01-01')
    """
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        return _float(text, text) if _is_float(text) else text
    if first not in "+-0123456789":
        return text
    if first != "0" and len(text) < _PLAIN_DIGITS and _is_digits(text):
        return int(text)
    if is_timestamp(text):
        return text
    number = text.replace("_", "")
    whole = _int(number)
    if whole is not None:
        return whole
    return _float(number, text) if _is_float(number) else text


def _is_float(text: str) -> bool:
    """Whether it is a decimal number: digits with at most one point among them, a sign before and an exponent behind allowed."""
    mantissa, exponent_follows, exponent = text.replace("E", "e").partition("e")
    if exponent_follows and not _is_digits(exponent[1:] if exponent[:1] in ("+", "-") else exponent):
        return False
    whole, _, part = (mantissa[1:] if mantissa[:1] in ("+", "-") else mantissa).partition(".")
    return (_is_digits(whole) or not whole) and (_is_digits(part) or not part) and bool(whole or part)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _float(number: str, text: str) -> float | str:
    """The number, or the text that it stood as when it is too large for one."""
    value = float(number)
    return text if value in (float("inf"), float("-inf")) else value


def _int(text: str) -> int | None:
    """As Go's ``strconv.ParseInt`` and ``ParseUint`` with base 0."""
    signed = text[0] in "+-"
    body = text[1:] if signed else text
    base = 10
    if len(body) > 1 and body[0] == "0":
        base = _BASES.get(body[1].lower(), 8)
        body = body[1:] if base == 8 and body[1] not in "oO" else body[2:]
    if not body or body.strip(_DIGITS[base]) or len(body) > 64:
        return None
    value = -int(body, base) if text[0] == "-" else int(body, base)
    if -INT64 <= value < INT64 or (value < 2 * INT64 and not signed):
        return value
    return None


def is_timestamp(text: str) -> bool:
    """Whether go-yaml takes it for a time, which it then leaves as text: a valid date, alone or with a time."""
    if len(text) < 8 or text[4] != "-" or not text[:4].isdecimal():
        return False
    import re

    match = re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)(?:([Tt ])(\d\d?):(\d\d?):(\d\d?)(?:[.,](\d+))?(Z|[-+]\d\d:\d\d)?)?", text, re.ASCII)
    if match is None or (match[4] is not None and (match[4] == " ") != (match[9] is None)):
        return False
    year, month, day = (int(match[at]) for at in (1, 2, 3))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (1 <= month <= 12 and 1 <= day <= days[month - 1]):
        return False
    return match[4] is None or (int(match[5]) < 24 and int(match[6]) < 60 and int(match[7]) < 60)


def _rounds_to(text: str, short: float) -> bool:
    try:
        return bool(unpack("f", pack("f", float(text)))[0] == short)
    except OverflowError:
        return False


def float_text(value: float) -> str:
    """A float as text, in Go's shortest form for 32 bits, which is what the reference makes of a number where text belongs.

    >>> float_text(1.23456789012), float_text(1e20), float_text(2.0)
    ('1.2345679', '1e+20', '2')
    """
    if value != value:
        return "NaN"
    try:
        short = unpack("f", pack("f", value))[0]
    except OverflowError:
        short = float("inf") if value > 0 else float("-inf")
    if short in (float("inf"), float("-inf")):
        return "+Inf" if short > 0 else "-Inf"
    for precision in range(9):
        text = f"{short:.{precision}e}"
        if _rounds_to(text, short):
            break
        # At a power of two the next float above is twice as far as that below, so the next decimal above may do.
        above = f"{float(text) + short / abs(short) * 10.0 ** (int(text.partition('e')[2]) - precision):.{precision}e}"
        if _rounds_to(above, short):
            text = above
            break
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    if power < -4 or power >= 6:
        return text
    digits = mantissa.replace(".", "").lstrip("-")
    sign = "-" if text.startswith("-") else ""
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, part = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
