"""``cdi_hook.cdi.names``: the verdicts are those of tests/conformance; here are the messages, and what is no text at all."""

from __future__ import annotations

import doctest
from typing import Any, Callable

import pytest

from cdi_hook.cdi import names
from cdi_hook.errors import NameSyntaxError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("gpu0", '"gpu0" is not a whole device name; write vendor.com/class=device', id="no-kind"),
        pytest.param("", '"" is not a whole device name; write vendor.com/class=device', id="empty"),
        pytest.param("/dev/fuse", '"/dev/fuse" is not a whole device name; write vendor.com/class=device', id="path"),
        pytest.param("/=x", '"/=x" is not a whole device name; write vendor.com/class=device', id="empty-parts"),
        pytest.param(
            "1acme.com/gpu=0",
            '"1acme.com/gpu=0": vendor name "1acme.com" starts with "1"; start it with a letter',
            id="vendor-digit",
        ),
        pytest.param(
            "acme.com/gpu/x=0",
            '"acme.com/gpu/x=0": class name "gpu/x" has "/" in it; use letters, digits, "_", "-" and "."',
            id="class-slash",
        ),
        pytest.param(
            "acme.com/gpu=a=b",
            '"acme.com/gpu=a=b": device name "a=b" has "=" in it; use letters, digits, "_", "-", "." and ":"',
            id="device-equals",
        ),
        pytest.param(
            "acme.com/gpu=.0", '"acme.com/gpu=.0": device name ".0" starts with "."; start it with a letter or digit', id="device-start"
        ),
        pytest.param(
            "acme.com/gpu=0-", '"acme.com/gpu=0-": device name "0-" ends with "-"; end it with a letter or digit', id="device-end"
        ),
        pytest.param(
            "acme.com/gpu=0 ",
            '"acme.com/gpu=0 ": device name "0 " has a blank in it; use letters, digits, "_", "-", "." and ":"',
            id="blank",
        ),
        pytest.param(
            "\u0430cme.com/gpu=0",
            '"\u0430cme.com/gpu=0": vendor name "\u0430cme.com" has the character U+0430 in it; use letters, digits, "_", "-" and "."',
            id="cyrillic",
        ),
        pytest.param(
            "acme.com/gpu=0\n",
            '"acme.com/gpu=0\\n": device name "0\\n" has the character U+000A in it; use letters, digits, "_", "-", "." and ":"',
            id="newline-stays-one-line",
        ),
        pytest.param(
            "acme.com/gpu=\udcff",
            '"acme.com/gpu=\\udcff": device name "\\udcff" has the character U+DCFF in it; use letters, digits, "_", "-", "." and ":"',
            id="byte-that-is-no-text",
        ),
        pytest.param(
            "acme.com/gpu=" + "x" * 200 + "!",
            '"acme.com/gpu=' + "x" * 107 + '…" (214 characters): device name "' + "x" * 120 + '…" (201 characters) has "!" in it; '
            'use letters, digits, "_", "-", "." and ":"',
            id="long-is-cut",
        ),
    ],
)
def test_message(text: str, message: str) -> None:
    with pytest.raises(NameSyntaxError) as caught:
        names.parse_qualified_name(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("check", [names.check_vendor, names.check_class, names.check_device])
def test_empty_part(check: Callable[[str], None]) -> None:
    with pytest.raises(NameSyntaxError, match=r"^(vendor|class|device) name is empty; give it a name$"):
        check("")


@pytest.mark.parametrize("value", [None, 0, b"acme.com/gpu=0", ["acme.com/gpu=0"]])
@pytest.mark.parametrize(
    "function",
    [names.parse_qualified_name, names.split_device, names.split_kind, names.check_vendor, names.check_device, names.split_selector],
)
def test_what_is_no_text(function: Callable[[Any], object], value: object) -> None:
    with pytest.raises(NameSyntaxError, match="is text, not"):
        function(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("acme.com/gpu=*", "acme.com/gpu"),
        ("acme.com/gpu=**", ""),
        ("acme.com/gpu=0*", ""),
        ("acme.com/*=*", ""),
        ("acme.com/=*", ""),
        ("1acme/gpu=*", ""),
        ("*", ""),
        ("=*", ""),
        ("acme.com/gpu=all", ""),
    ],
)
def test_selector(text: str, kind: str) -> None:
    assert names.split_selector(text) == kind


def test_examples() -> None:
    result = doctest.testmod(names)
    assert result.attempted > 8
    assert not result.failed
