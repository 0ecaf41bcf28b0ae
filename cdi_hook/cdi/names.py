"""The grammar of CDI names: ``vendor.com/class=device``. Row 4, hot: imports ``errors`` alone.

CDI specification 1.1.0, "CDI JSON Specification": ``kind`` and ``devices[].name``. All names are ASCII:

* vendor and class: letters, digits, ``_``, ``-``, ``.``; the first is a letter, the last a letter or digit;
* device: the same and ``:``; the first and the last are letters or digits.

The reference counts bytes, we count characters: it makes no difference, because both refuse a name that is not ASCII.
"""

from __future__ import annotations

from cdi_hook.errors import NameSyntaxError

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALPHANUMERIC = _LETTERS + "0123456789"
_QUALIFIER_CHARS = _ALPHANUMERIC + "_-."
_DEVICE_CHARS = _QUALIFIER_CHARS + ":"

_SHOWN = 120
"""A name in a message is cut after so many characters: it may come from a container, and be of any length."""


def parse_qualified_name(text: str) -> tuple[str, str, str]:
    """Split a whole device name into vendor, class and device, and check each.

    Raises `NameSyntaxError`. Follows the reference's ``ParseQualifiedName``.

    >>> parse_qualified_name("acme.com/gpu=0:1")
    ('acme.com', 'gpu', '0:1')
    """
    vendor, class_, name = split_device(text)
    if not vendor:
        raise NameSyntaxError(f"{quoted(text)} is not a whole device name", fix="write vendor.com/class=device")
    try:
        check_vendor(vendor)
        check_class(class_)
        check_device(name)
    except NameSyntaxError as error:
        raise NameSyntaxError(f"{quoted(text)}: {error.reason}", fix=error.fix) from None
    return vendor, class_, name


def qualified_name(vendor: str, class_: str, name: str) -> str:
    """Join the parts, unchecked.

    >>> qualified_name("acme.com", "gpu", "0")
    'acme.com/gpu=0'
    """
    return f"{vendor}/{class_}={name}"


def split_device(text: str) -> tuple[str, str, str]:
    """Split without looking at the characters; what does not split is a device name without vendor and class.

    >>> split_device("acme.com/gpu=a=b")
    ('acme.com', 'gpu', 'a=b')
    >>> split_device("/dev/null")
    ('', '', '/dev/null')
    """
    if not isinstance(text, str):
        raise NameSyntaxError(f"a device name is text, not {type(text).__name__}")
    kind, _, name = text.partition("=")
    vendor, class_ = split_kind(kind)
    if vendor and name:
        return vendor, class_, name
    return "", "", text


def split_kind(kind: str) -> tuple[str, str]:
    """Split ``vendor/class`` without looking at the characters; what does not split is a class without vendor.

    >>> split_kind("acme.com/gpu")
    ('acme.com', 'gpu')
    >>> split_kind("gpu")
    ('', 'gpu')
    """
    if not isinstance(kind, str):
        raise NameSyntaxError(f"a kind is text, not {type(kind).__name__}")
    vendor, _, class_ = kind.partition("/")
    if vendor and class_:
        return vendor, class_
    return "", kind


def split_selector(text: str) -> str:
    """The kind of a selector ``vendor.com/class=*``, which means every device of that kind; ``""`` for any other text.

    The reference has no selectors: to it, this is a name that nothing defines.

    >>> split_selector("acme.com/gpu=*"), split_selector("acme.com/gpu=0")
    ('acme.com/gpu', '')
    """
    vendor, class_, name = split_device(text)
    if name != "*":
        return ""
    try:
        check_vendor(vendor)
        check_class(class_)
    except NameSyntaxError:
        return ""
    return f"{vendor}/{class_}"


def check_vendor(text: str) -> None:
    """Check the vendor, the part of a kind before the slash. Raises `NameSyntaxError`.

    >>> check_vendor("acme.com")
    """
    _check("vendor", text, first=_LETTERS, allowed=_QUALIFIER_CHARS)


def check_class(text: str) -> None:
    """Check the class, the part of a kind behind the slash. Raises `NameSyntaxError`.

    >>> check_class("gpu.mig")
    """
    _check("class", text, first=_LETTERS, allowed=_QUALIFIER_CHARS)


def check_device(text: str) -> None:
    """Check the name of a device inside its kind. Raises `NameSyntaxError`.

    >>> check_device("0:1")
    """
    _check("device", text, first=_ALPHANUMERIC, allowed=_DEVICE_CHARS)


def check_annotation_name(text: str) -> None:
    """Check what follows the slash of an annotation key that we write. Raises `NameSyntaxError`."""
    _check("annotation", text, first=_ALPHANUMERIC, allowed=_QUALIFIER_CHARS)


def quoted(text: str) -> str:
    """A name for a message: in double quotes, and cut when it is very long."""
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…" ({len(text)} characters)'


def _check(what: str, text: str, *, first: str, allowed: str) -> None:
    if not isinstance(text, str):
        raise NameSyntaxError(f"{what} name is text, not {type(text).__name__}")
    if not text:
        raise NameSyntaxError(f"{what} name is empty", fix="give it a name")
    # strip() takes characters of the set off both ends: a text of nothing else becomes empty, at the speed of C.
    wrong = text.lstrip(allowed)
    if wrong:
        raise NameSyntaxError(f"{what} name {quoted(text)} has {_character(wrong[0])} in it", fix=f"use {_described(allowed)}")
    if text[0] not in first:
        fix = f"start it with a {'letter' if first is _LETTERS else 'letter or digit'}"
        raise NameSyntaxError(f'{what} name {quoted(text)} starts with "{text[0]}"', fix=fix)
    if text[-1] not in _ALPHANUMERIC:
        raise NameSyntaxError(f'{what} name {quoted(text)} ends with "{text[-1]}"', fix="end it with a letter or digit")


def _character(char: str) -> str:
    """A character that is no part of names. Its number tells apart what looks alike, such as a Cyrillic a."""
    if char == " ":
        return "a blank"
    return f'"{char}"' if " " < char <= "~" else f"the character U+{ord(char):04X}"


def _described(allowed: str) -> str:
    others = [f'"{char}"' for char in allowed if char not in _ALPHANUMERIC]
    return f"letters, digits, {', '.join(others[:-1])} and {others[-1]}"
