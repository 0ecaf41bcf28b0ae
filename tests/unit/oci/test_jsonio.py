"""OCI configs as JSON: strict in, lossless out, and words for what is wrong."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from cdi_hook.errors import BundleError
from cdi_hook.oci import jsonio


@pytest.fixture(params=["as on the hot path", "json is loaded", "without the C module"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The three surroundings in which the module works; the C scanner behaves differently when ``json`` was never imported."""
    if request.param == "as on the hot path":
        if sys.version_info < (3, 10):
            pytest.skip("before 3.10 the C module keeps the error class of the first import")
        for name in [name for name in sys.modules if name.partition(".")[0] == "json"]:
            monkeypatch.delitem(sys.modules, name)
    elif request.param == "without the C module":
        monkeypatch.setattr(jsonio, "make_scanner", None)
        monkeypatch.setattr(jsonio, "make_encoder", None)
    return str(request.param)


SAME = [
    pytest.param("{}", id="empty object"),
    pytest.param("[]", id="empty list"),
    pytest.param('""', id="empty string"),
    pytest.param("null", id="null"),
    pytest.param("true", id="true"),
    pytest.param("false", id="false"),
    pytest.param('{"b":1,"a":2,"":3}', id="key order"),
    pytest.param("[0,1,-1,9223372036854775807,18446744073709551616]", id="integers"),
    pytest.param("[-0]", id="minus zero"),
    pytest.param("[1.0,1.50,0.10,1e3,1E+3,1e-7,-0.0,3.141592653589793238462643383279502884]", id="number text"),
    pytest.param("[1e400,-1e400]", id="beyond a double"),
    pytest.param("[" + "7" * 5000 + "]", id="an integer of 5000 digits"),
    pytest.param('["ü","日本","\U0001f600"]', id="not ASCII"),
    pytest.param('["\\"","\\\\","\\n","\\t","\\b","\\f","\\r","\\u0000","\\u001f"]', id="escapes"),
    pytest.param('["-0","1.50"]', id="strings that look like numbers"),
    pytest.param('{"1.50":1.50,"-0":-0}', id="keys that look like numbers"),
    pytest.param("[" * 200 + "]" * 200, id="200 levels"),
]


@pytest.mark.parametrize("text", SAME)
def test_comes_back_unchanged(way: str, text: str) -> None:
    assert jsonio.dumps(jsonio.loads(text)) == text
    assert jsonio.dumps(jsonio.loads(text.encode())) == text


@pytest.mark.parametrize(
    ("text", "again"),
    [
        pytest.param(' \t\r\n{ "a" : [ 1 , 2 ] }\n\n', '{"a":[1,2]}', id="white space goes"),
        pytest.param('["\\/"]', '["/"]', id="an escaped slash is a slash"),
        pytest.param('["\\u00fc"]', '["ü"]', id="an escape that need not be one"),
        pytest.param('["\\ud83d\\ude00"]', '["\U0001f600"]', id="a pair of surrogates is one character"),
        pytest.param('["\\ud800","ü"]', '["\\ud800","\\u00fc"]', id="a lone surrogate stays an escape"),
        pytest.param('{"\\udfff":1.50}', '{"\\udfff":1.50}', id="a lone surrogate in a key, beside a number"),
        pytest.param('["\\u007f"]', '["\x7f"]', id="DEL needs no escape"),
    ],
)
def test_comes_back_in_plain_form(way: str, text: str, again: str) -> None:
    assert jsonio.dumps(jsonio.loads(text)) == again
    assert json.loads(again) == json.loads(text)


def test_values_have_their_types(way: str) -> None:
    value = jsonio.loads('{"i":12,"f":1.50,"s":"1.50","b":true,"n":null,"l":[1],"o":{}}')
    assert {key: type(member) for key, member in value.items()} == {
        "i": int,
        "f": jsonio.NumberText,
        "s": str,
        "b": bool,
        "n": type(None),
        "l": list,
        "o": dict,
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "/c:1: is not JSON: expecting value (column 1)", id="nothing"),
        pytest.param(b" \n ", "/c:2: is not JSON: expecting value (column 2)", id="blanks"),
        pytest.param(b'{"a" 1}', "/c:1: is not JSON: expecting ':' delimiter (column 6)", id="colon missing"),
        pytest.param(b'{"a":1\n"b":2}', "/c:2: is not JSON: expecting ',' delimiter (column 1)", id="comma missing"),
        pytest.param(b"[1,]", None, id="trailing comma"),
        pytest.param(b'{"a":1,}', None, id="trailing comma of an object"),
        pytest.param(b'["abc', "/c:1: is not JSON: unterminated string starting at (column 2)", id="cut in a string"),
        pytest.param(b"[1", "/c:1: is not JSON: expecting ',' delimiter (column 3)", id="cut in a list"),
        pytest.param(b'["\\q"]', None, id="unknown escape"),
        pytest.param(b'["\\u12"]', None, id="short escape"),
        pytest.param(b'["\x01"]', None, id="control character in a string"),
        pytest.param(b"{'a':1}", None, id="single quotes"),
        pytest.param(b"[01]", "/c:1: is not JSON: expecting ',' delimiter (column 3)", id="leading zero"),
        pytest.param(b"[+1]", "/c:1: is not JSON: expecting value (column 2)", id="plus sign"),
        pytest.param(b"[.5]", "/c:1: is not JSON: expecting value (column 2)", id="no digit before the point"),
        pytest.param(b"{} {}", "/c:1: is not JSON: extra data (column 4)", id="two documents"),
        pytest.param(b"{}\x00", "/c:1: is not JSON: extra data (column 3)", id="a NUL behind the document"),
        pytest.param(b"{}\x0b", "/c:1: is not JSON: extra data (column 3)", id="white space that is not JSON's"),
        pytest.param(
            b"\xef\xbb\xbf{}", "/c:1: is not JSON: unexpected UTF-8 BOM (decode using utf-8-sig) (column 1)", id="byte order mark"
        ),
        pytest.param(b'["\xff"]', "/c: is not JSON: byte 2 is not UTF-8", id="not UTF-8"),
        pytest.param(b'{\x00"\x00', None, id="UTF-16"),
        pytest.param(b'{"a":1,"b":2,"a":1}', "/c: is not plain JSON: the key 'a' stands twice in one object", id="duplicate key"),
        pytest.param(b'[{"x":{"":1,"":2}}]', "/c: is not plain JSON: the key '' stands twice in one object", id="duplicate key deep down"),
        pytest.param(b'{"a":1,"\\u0061":2}', "/c: is not plain JSON: the key 'a' stands twice in one object", id="duplicate by escape"),
        pytest.param(b"[NaN]", "/c: is not plain JSON: NaN is not JSON", id="NaN"),
        pytest.param(b"[Infinity]", "/c: is not plain JSON: Infinity is not JSON", id="Infinity"),
        pytest.param(b"[-Infinity]", "/c: is not plain JSON: -Infinity is not JSON", id="minus Infinity"),
        pytest.param(b"[" * 100_000, "/c: is nested too deeply", id="100,000 levels"),
    ],
)
def test_refuses(way: str, data: bytes, message: str | None) -> None:
    with pytest.raises(BundleError) as caught:
        jsonio.loads(data, file="/c")
    # Where the standard module words it differently from one Python to the next, only its beginning is ours.
    assert str(caught.value) == message if message else str(caught.value).startswith("/c:1: is not JSON: ")


@pytest.mark.parametrize("end", ["1", "1 x", '"\\q"', "1,NaN"])
def test_the_depth_at_which_it_gives_up_is_an_error_of_ours(way: str, end: str) -> None:
    """Whatever the depth, the answer is a value that can be written again, or BundleError."""
    refused = 0
    for depth in range(300, 500, 4) if way == "without the C module" else [*range(900, 1001), 100_000]:  # the limit lies in there
        text = "[" * depth + end + ("]" * depth if end == "1" else "")
        try:
            assert jsonio.dumps(jsonio.loads(text)) == text
        except BundleError:
            refused += 1
    assert refused


def test_dumps_refuses_what_is_not_json(way: str) -> None:
    with pytest.raises(TypeError, match=r"^a set has no JSON form$"):
        jsonio.dumps({"a": {1}})


@pytest.mark.parametrize("value", [{"t": (1, "a")}, {"n": None, "t": True, "f": False}, [{}, [], ""]])
def test_dumps_as_json_does(way: str, value: Any) -> None:
    assert jsonio.dumps(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "quoted"), [("plain", '"plain"'), ('a"b\\c\n', '"a\\"b\\\\c\\n"'), ("ü", '"\\u00fc"'), ("\udc80", '"\\udc80"')]
)
def test_quoted_is_ascii(text: str, quoted: str) -> None:
    assert jsonio.quoted(text) == quoted
