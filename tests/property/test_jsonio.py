"""Laws of the JSON module: what comes in goes out, both ways of doing it agree, and any bytes at all give a value or BundleError."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdi_hook.errors import BundleError
from cdi_hook.oci import jsonio

TEXT = st.text(st.characters(), max_size=12)
"""Any code points, lone surrogates among them."""

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def spaces(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", "", "", " ", "\n\t ", "\r\n"]))


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> tuple[str, str]:
    """A JSON text with blanks and escapes, and the same in our plain form."""
    kind = draw(st.sampled_from(["literal", "number", "string"] + (["list", "object"] * 2 if depth else [])))
    if kind == "literal":
        text = plain = draw(st.sampled_from(["true", "false", "null"]))
    elif kind == "number":
        text = plain = draw(NUMBERS)
    elif kind == "string":
        text, plain = draw(strings())
    elif kind == "list":
        entries = draw(st.lists(documents(depth=depth - 1), max_size=4))
        text = "[" + spaces(draw) + ",".join(entry for entry, _ in entries) + spaces(draw) + "]"
        plain = "[" + ",".join(entry for _, entry in entries) + "]"
    else:
        keys = draw(st.lists(TEXT.filter(is_utf8), max_size=4, unique=True))
        members = [(key, draw(documents(depth=depth - 1))) for key in keys]
        text = "{" + spaces(draw) + ",".join(f"{json.dumps(key)}{spaces(draw)}:{value}" for key, (value, _) in members) + "}"
        plain = "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, (_, value) in members) + "}"
    return spaces(draw) + text + spaces(draw), plain


def is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


@st.composite
def strings(draw: st.DrawFn) -> tuple[str, str]:
    value = draw(TEXT.filter(is_utf8))
    return json.dumps(value, ensure_ascii=draw(st.booleans())), json.dumps(value, ensure_ascii=False)


@given(documents())
def test_what_comes_in_goes_out(document: tuple[str, str]) -> None:
    """Number text, key order and every character; blanks and needless escapes go."""
    text, plain = document
    assert jsonio.dumps(jsonio.loads(text)) == plain
    assert jsonio.dumps(jsonio.loads(text.encode())) == plain


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_any_value_survives_lone_surrogates_included(value: Any) -> None:
    text = jsonio.dumps(value)
    assert text.isprintable() or text.encode("utf-8")
    assert jsonio.loads(text) == value
    assert json.loads(text) == value


def without_c(text: str | bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonio, "make_scanner", None)
        patch.setattr(jsonio, "make_encoder", None)
        value = jsonio.loads(text, file="/c")
        return value, jsonio.dumps(value)


def verdict(work: Any, text: str | bytes) -> Any:
    try:
        return work(text)
    except BundleError as error:
        return str(error)


def with_c(text: str | bytes) -> Any:
    value = jsonio.loads(text, file="/c")
    return value, jsonio.dumps(value)


@given(documents())
def test_both_ways_agree_on_json(document: tuple[str, str]) -> None:
    assert with_c(document[0]) == without_c(document[0])


JSON_LIKE = st.lists(
    st.sampled_from([*'{}[]:,"\\-.0123eE \n', "true", "null", "NaN", '"a"', "\\u00", "\\ud800", "ü", "\ufeff"]), max_size=14
).map("".join)


@settings(max_examples=400)
@given(JSON_LIKE)
def test_both_ways_agree_on_anything(text: str) -> None:
    assert verdict(with_c, text) == verdict(without_c, text)


@settings(max_examples=400)
@given(JSON_LIKE)
def test_accepts_what_json_accepts_but_for_doubles_and_nan(text: str) -> None:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    def once(pairs: list[tuple[str, Any]]) -> Any:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    try:
        json.loads(text, parse_constant=refuse, object_pairs_hook=once)
        good = True
    except ValueError:
        good = False
    try:
        jsonio.loads(text)
        assert good
    except BundleError:
        assert not good


@given(st.binary(max_size=40))
def test_any_bytes_give_a_value_or_a_refusal(data: bytes) -> None:
    found = verdict(with_c, data)
    assert isinstance(found, tuple) or found.startswith("/c")
