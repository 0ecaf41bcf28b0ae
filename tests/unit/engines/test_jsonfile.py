"""JSON edited as text: whatever the layout is, the object is what was meant, and the bytes around the edit stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdi_hook.engines import jsonfile

LAYOUTS = {
    "empty": "{}",
    "empty over two lines": "{\n}\n",
    "white space around": ' \n{"a": 1}\n\n',
    "braces and quotes in strings": '{"a": "}\\"{,", "\\u00fc": ["]", {"x": "{"}]}',
    "a comma on the next line": '{\n  "a": 1\n  ,"b": 2\n}',
    "CRLF": '{\r\n  "a": 1\r\n}\r\n',
    "numbers as they are written": '{"a": 1.50, "b": 1E3}',
    "the parent is empty": '{\n  "p": {},\n  "z": 1\n}',
    "the parent is there": '{"p":{"x":{"y":null}}}',
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_member_goes_in_changes_and_goes_out(text: str) -> None:
    """At the top and one level down."""
    before: dict[str, Any] = json.loads(text)
    for path in (("new",), ("p", "new")):
        added = jsonfile.set_member(text, path, {"k": [1]})
        meant = json.loads(text)
        (meant if len(path) == 1 else meant.setdefault("p", {}))["new"] = {"k": [1]}
        assert jsonfile.parse(added, "f") == meant
        changed = jsonfile.set_member(added, path, "v")
        assert json.loads(jsonfile.remove_member(changed, path)) == ({"p": {}, **before} if len(path) == 2 else before)


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_what_is_not_there_is_not_removed(text: str) -> None:
    """Not a byte changes."""
    assert jsonfile.remove_member(text, ("nothing",)) == text


def test_each_member_can_be_removed() -> None:
    """The first, one in the middle, the last; the others keep their lines."""
    text = '{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}\n'
    assert jsonfile.remove_member(text, ("a",)) == '{\n  "b": 2,\n  "c": 3\n}\n'
    assert jsonfile.remove_member(text, ("b",)) == '{\n  "a": 1,\n  "c": 3\n}\n'
    assert jsonfile.remove_member(text, ("c",)) == '{\n  "a": 1,\n  "b": 2\n}\n'
