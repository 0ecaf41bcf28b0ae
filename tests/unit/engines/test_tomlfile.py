"""TOML edited as text: every layout either comes out right, or is refused; and the inverse gives the same bytes."""

from __future__ import annotations

import pytest

from cdi_hook.engines import tomlfile
from cdi_hook.errors import EngineError

LAYOUTS = {
    "empty": "",
    "only a comment": "# x\n",
    "no final newline": "a = 1\n[b]\nc = 2",
    "CRLF": "a = 1\r\n[b]\r\nc = 2\r\n",
    "headers in a multi-line string": "[a]\nb = '''\n[x.y]\nc = 1\n'''\n[x]\nd = 1\n",
    "a multi-line array": "[a]\nb = [\n  [1],\n  [2]\n]\n",
    "an array of tables": "[[a]]\nb = 1\n[[a]]\nb = 2\n[x]\n",
    "dotted keys": "a.b = 1\na.c = 2\nx.y.z = 1\n",
    "tables out of order": "[x.a]\nb = 1\n[c]\n[x.d]\ne = 1\n",
    "quoted names": "[x.\"a.b\".'c d']\ne = 1\n",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_table_goes_in_and_out(text: str) -> None:
    """Added, replaced and removed; only the missing final newline stays added."""
    path = ("x", "io.acme/v1", "new")
    added = tomlfile.add_table(text, path, {"k": "v", "deep": {"n": [1, True, {"z": "ü"}]}}, "f")
    assert tomlfile.get(tomlfile.parse(added, "f"), path) == {"k": "v", "deep": {"n": [1, True, {"z": "ü"}]}}
    replaced = tomlfile.replace_table(added, path, {"k": "w"}, "f")
    assert tomlfile.get(tomlfile.parse(replaced, "f"), path) == {"k": "w"}
    ending = "\n" if text and not text.endswith("\n") else ""
    assert tomlfile.remove_table(added, path, "f") == tomlfile.remove_table(replaced, path, "f") == text + ending


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_value_goes_in_and_out(text: str) -> None:
    """In a table that is not there yet."""
    path = ("new", "table", "key")
    added = tomlfile.set_value(text, path, ["a", "b"], "f")
    assert tomlfile.get(tomlfile.parse(added, "f"), path) == ["a", "b"]
    changed = tomlfile.set_value(added, path, "c", "f")
    assert tomlfile.get(tomlfile.parse(changed, "f"), path) == "c"
    ending = "\n" if text and not text.endswith("\n") else ""
    assert tomlfile.set_value(changed, path, None, "f") == text + ending


REFUSED = {
    "an inline table": "x = {a = 1}\n",
    "the name is a value": "[x]\ny = 1\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_a_layout_that_cannot_be_edited_is_refused(text: str) -> None:
    """Never half edited."""
    with pytest.raises(EngineError) as caught:
        tomlfile.add_table(text, ("x", "y", "new"), {"k": 1}, "f")
    assert str(caught.value) == "f: is laid out in a way that cannot be edited safely (inline tables?); add the handler by hand"


def test_an_array_of_tables_ends_the_table_before_it() -> None:
    """It belongs to nobody that is taken out, and a key that is looked for is not looked for in it."""
    text = "[a]\nk = 1\n\n[[b]]\nk = 2\n"
    assert tomlfile.remove_table(text, ("a",), "f") == "\n[[b]]\nk = 2\n"
    assert tomlfile.set_value("[a]\nj = 0\n[[b]]\nk = 2\n", ("a", "k"), 1, "f") == "[a]\nk = 1\nj = 0\n[[b]]\nk = 2\n"


def test_removing_what_is_not_there() -> None:
    """Changes nothing."""
    assert tomlfile.remove_table("[a]\n", ("b", "c"), "f") == "[a]\n"
    assert tomlfile.set_value("[a]\n", ("b", "c"), None, "f") == "[a]\n"


def test_a_value_that_spans_lines_is_not_removed_by_half() -> None:
    """Only one-line values are ours."""
    with pytest.raises(EngineError):
        tomlfile.set_value("[a]\nb = [\n1,\n]\n", ("a", "b"), None, "f")
