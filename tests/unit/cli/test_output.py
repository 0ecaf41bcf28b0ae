"""How the commands print."""

from __future__ import annotations

import json

import pytest

from cdi_hook.cli import output
from cdi_hook.errors import BundleError
from cdi_hook.oci import jsonio

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"x"', '{"a":[1,{"b":[]}],"c":{"d":null,"e":{}},"\\"":"\u00e4"}', "[[],[[1]],{}]"])
def test_pretty_is_the_same_value(text: str) -> None:
    assert output.pretty(json.loads(text)) == json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def test_pretty_keeps_numbers() -> None:
    assert output.pretty(jsonio.loads("[1.50, 1e3]")) == "[\n  1.50,\n  1e3\n]"


def test_pretty_has_a_limit_that_it_names() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BundleError, match=r"^is nested too deeply$"):
        output.pretty(value)
    while value:
        value = value.pop()  # type: ignore[assignment] # a list in a list: Python's own destructor has a limit, too


def test_a_table_for_a_pipe(capsys: Capture) -> None:
    output.table([("a", "long cell", ""), ("longer", "b\n", "x")], ("ONE", "TWO", "THREE"))
    assert capsys.readouterr().out == "a       long cell\nlonger  b\\n        x\n"


def test_an_empty_table(capsys: Capture) -> None:
    output.table([], ("ONE",))
    assert capsys.readouterr().out == ""


def test_a_table_for_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "coloured", lambda: True)
    output.table([("[red]a", "b")], ("ONE", "TWO"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "ONE" in lines[0]
    assert "[red]a" in lines[1]


@pytest.mark.parametrize(
    ("tty", "environment", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_when_there_is_colour(monkeypatch: pytest.MonkeyPatch, tty: bool, environment: dict[str, str], expected: bool) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: tty)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert output.coloured() is expected


def test_words_of_a_line_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "width", lambda: 20)
    assert output.wrapped("one two three four /a/very/long/path/of-all", "   ", "x: ") == [
        "x: one two three",
        "   four",
        "   /a/very/long/path/of-all",
    ]
    assert output.wrapped("", "   ", "x: ") == ["x:"]


def test_complaints_are_one_line(capsys: Capture) -> None:
    output.complain("a\nb")
    assert capsys.readouterr().err == "cdi-hook: a\\nb\n"
