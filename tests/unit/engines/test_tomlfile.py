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


INLINE = {
    "an inline table": ("x = {a = 1}\n", "x = {a = 1, y.new = {k = 1}}\n"),
    "an empty one": ("x = {}\n", "x = { y.new = {k = 1} }\n"),
    "with blanks and a comment": ("[p]\nq = 1\n[x]\ny = { a = 1 } # c\n", "[p]\nq = 1\n[x]\ny = { a = 1, new = {k = 1} } # c\n"),
    "one in another": ("x = {y = {'}' = \"}\"}, z = 1}\n", "x = {y = {'}' = \"}\", new = {k = 1}}, z = 1}\n"),
    "dotted keys": ("x.y.old.k = 0\nz = 1\n", "x.y.old.k = 0\nx.y.new.k = 1\nz = 1\n"),
    "dotted keys below a header": ("[x]\n\ty . old.k = 0 # c\n[z]\n", "[x]\n\ty . old.k = 0 # c\n\ty.new.k = 1\n[z]\n"),
}


@pytest.mark.parametrize(("text", "after"), INLINE.values(), ids=INLINE)
def test_a_table_goes_where_the_layout_has_its_like(text: str, after: str) -> None:
    path = ("x", "y", "new")
    assert tomlfile.add_table(text, path, {"k": 1}, "f") == after
    removed = tomlfile.parse(tomlfile.remove_table(after, path, "f"), "f")
    assert tomlfile._filled(removed) == tomlfile._filled(tomlfile.parse(text, "f"))
    replaced = tomlfile.replace_table(after, path, {"k": 2, "l": {"m": "n"}}, "f")
    assert tomlfile.get(tomlfile.parse(replaced, "f"), path) == {"k": 2, "l": {"m": "n"}}


REFUSED = {
    "the name is a value": "[x]\ny = 1\n",
    "the name is an array of tables": "[[x.y]]\nz = 1\n",
    "the name is a list": "x = [{y = 1}]\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_a_layout_that_cannot_be_edited_is_refused(text: str) -> None:
    """Never half edited; the lines to add are there to paste."""
    with pytest.raises(EngineError) as caught:
        tomlfile.add_table(text, ("x", "y", "new"), {"k": 1, "l": {"m": "n"}}, "f")
    assert str(caught.value) == "f: is laid out in a way that cannot be edited safely; add these lines by hand"
    assert caught.value.lines == ("[x.y.new]", "  k = 1", "  [x.y.new.l]", '    m = "n"')


def test_several_refused_edits_are_told_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        tomlfile.together(
            "x = 1\n",
            lambda text: tomlfile.add_table(text, ("x", "a"), {"k": 1}, "f"),
            lambda text: tomlfile.set_value(text, ("y",), 2, "f"),
            lambda text: tomlfile.set_value(text, ("x", "b"), True, "f"),
        )
    assert caught.value.lines == ("[x.a]", "  k = 1", "x.b = true")


def test_an_array_of_tables_ends_the_table_before_it() -> None:
    """It belongs to nobody that is taken out, and a key that is looked for is not looked for in it."""
    text = "[a]\nk = 1\n\n[[b]]\nk = 2\n"
    assert tomlfile.remove_table(text, ("a",), "f") == "\n[[b]]\nk = 2\n"
    assert tomlfile.set_value("[a]\nj = 0\n[[b]]\nk = 2\n", ("a", "k"), 1, "f") == "[a]\nk = 1\nj = 0\n[[b]]\nk = 2\n"


def test_removing_what_is_not_there() -> None:
    """Changes nothing."""
    assert tomlfile.remove_table("[a]\n", ("b", "c"), "f") == "[a]\n"
    assert tomlfile.set_value("[a]\n", ("b", "c"), None, "f") == "[a]\n"


def test_a_value_that_spans_lines_is_removed_whole() -> None:
    assert tomlfile.set_value("[a]\nb = [\n1, # ]\n]\nc = 1\n", ("a", "b"), None, "f") == "[a]\nc = 1\n"


def test_nothing_is_equal_by_chance() -> None:
    """1, 1.0 and true are three values, and NaN is one."""
    assert not tomlfile._same({"a": 1}, {"a": True})
    assert not tomlfile._same([1], [1.0])
    assert tomlfile._same({"a": float("nan")}, {"a": float("nan")})
    assert tomlfile.set_value("a = nan\nb = 07:32:00\n", ("c",), '\x7f"\n', "f") == 'c = "\\u007f\\"\\n"\na = nan\nb = 07:32:00\n'
