"""YAML as the reference reads it: scalars, lines, anchors, merges, and what is refused. And the C parser without the rest of PyYAML."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdi_hook.errors import CdiError, FaultsError
from cdi_hook.yaml11 import constructor
from cdi_hook.yaml11.scalars import float_text, resolve

ROOT = Path(__file__).parents[3]


def value(text: str) -> Any:
    return constructor.load(text.encode()).value


SCALARS: list[tuple[str, Any]] = [
    # Words of YAML 1.1, in the three spellings.
    *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")),
    *((word, False) for word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")),
    *((word, None) for word in ("", "~", "null", "Null", "NULL")),
    *((word, word) for word in ("yEs", "tRue", "nUll", "None", "oN")),
    # Whole numbers with the bases of Go.
    *(("1", 1), ("-1", -1), ("+1", 1), ("010", 8), ("-010", -8), ("0o17", 15), ("0x1F", 31), ("0X1f", 31), ("0b101", 5), ("-0b11", -3)),
    *(("1_000", 1000), ("0x_1", 1), ("1_", 1), ("0_", 0), ("_1", "_1"), ("0o18", "0o18"), ("0xg", "0xg"), ("0x", "0x"), ("0b", "0b")),
    *(("9223372036854775808", 1 << 63), ("18446744073709551615", (1 << 64) - 1), ("-9223372036854775808", -(1 << 63))),
    *(("18446744073709551616", float(1 << 64)), ("+18446744073709551615", float(1 << 64)), ("-9223372036854775809", -float(1 << 63))),
    # What is no whole number with a leading zero is a float.
    *(
        ("0888", 888.0),
        ("08", 8.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1_0.5", 10.5),
        ("-.5", -0.5),
    ),
    *((text, text) for text in (".", "..", "+", "1e", "1e+", "e5", "1.2.3", "._5", ".5_", "1,0", "0x1p3", "inf", "nan", "1e400", "-1e400")),
    *((".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf)),
    # Dates, and what only looks like one.
    *((text, text) for text in ("2001-01-01", "2001-1-1T1:2:3Z", "2001-01-01 1:2:3.5", "12:30:45", "2001-13-01")),
]


@pytest.mark.parametrize(("text", "expected"), SCALARS, ids=[row[0] for row in SCALARS])
def test_plain_scalars(text: str, expected: Any) -> None:
    found = resolve(text)
    assert (found, type(found)) == (expected, type(expected))
    assert value(f"- {text}") == [expected]
    assert value(f"['{text}']") == [text]


def test_not_a_number() -> None:
    found = resolve(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2001-01-01", True),
        ("2000-02-29", True),
        ("1900-02-29", False),
        ("2001-02-29", False),
        ("2001-12-32", False),
        ("2001-00-01", False),
        ("2001-1-1T1:2:3Z", True),
        ("2001-01-01t00:00:00.5+01:00", True),
        ("2001-01-01T24:00:00Z", False),
        ("2001-01-01T23:59:60Z", False),
        ("2001-01-01T00:00:00", False),
        ("2001-01-01 00:00:00", True),
        ("2001-01-01 00:00:00Z", False),
        ("12001-01-01", False),
    ],
)
def test_timestamps(text: str, is_one: bool) -> None:
    """They stay text, so the tag alone tells."""
    if is_one:
        assert value(f"!!timestamp '{text}'") == text
    else:
        with pytest.raises(CdiError):
            value(f"!!timestamp '{text}'")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1.23456789012, "1.2345679"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (1e20, "1e+20"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
        (-0.0, "-0"),
        (1e39, "+Inf"),
        (-1e39, "-Inf"),
        (1e-50, "0"),
        (math.inf, "+Inf"),
        (math.nan, "NaN"),
        (16777217.0, "1.6777216e+07"),
        (2.0**87, "1.5474251e+26"),
        (-(2.0**87), "-1.5474251e+26"),
        (3.4028234663852886e38, "3.4028235e+38"),
    ],
)
def test_floats_as_text(number: float, text: str) -> None:
    assert float_text(number) == text


TAGGED: list[tuple[str, Any]] = [
    ("!!str 1", "1"),
    ("!!str", ""),
    ("!!str ~", "~"),
    ("!!int '7'", 7),
    ("!!int 010", 8),
    ("!!float 1", 1.0),
    ("!!bool 'yes'", True),
    ("!!null ''", None),
    ("!!binary YQ==", "a"),
    ('!!binary "Y\\nQ\\r=="', "a"),
    ("!!binary 4oI=", "\ufffd\ufffd"),
    ("!foo 1", "1"),
    ("! 1", "1"),
    ("!!foo yes", "yes"),
    ("!!python/object/apply:os.system 'false'", "false"),
    ("!!python/object/apply:os.system ['false']", ["false"]),
    ("!!set {a}", {"a": None}),
]


@pytest.mark.parametrize(("text", "expected"), TAGGED, ids=[row[0] for row in TAGGED])
def test_tags_convert_and_nothing_else(text: str, expected: Any) -> None:
    found = value(f"- {text}\n")[0]
    assert (found, type(found)) == (expected, type(expected))


DOCUMENTS: list[tuple[str, str, Any]] = [
    ("empty", "", None),
    ("comments alone", "# a\n", None),
    ("the first document alone", "a: 1\n---\nb: [\n", {"a": 1}),
    ("an alias", "a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
    ("the last anchor of a name", "- &x 1\n- &x 2\n- *x\n", [1, 2, 2]),
    ("a merge", "a: &x {k: 1}\nb: {<<: *x, l: 2}\n", {"a": {"k": 1}, "b": {"k": 1, "l": 2}}),
    ("a merge of several", "- &x {k: 1}\n- &y {l: 2}\n- <<: [*x, *y]\n", [{"k": 1}, {"l": 2}, {"l": 2, "k": 1}]),
    ("a quoted merge key is a key", '{"<<": 1}', {"<<": 1}),
    ("keys of all kinds", "{1: a, 1.5: b, no: c, '1': d}", {1: "a", 1.5: "b", False: "c", "1": "d"}),
    ("UTF-16", "\ufeffa: b", {"a": "b"}),
    ("a ? in quotes, and without brackets", "a: ['x?y', \"x?y\"]\nb: x?y\n", {"a": ["x?y", "x?y"], "b": "x?y"}),
    ("a byte order mark in a later document", "a: b\n---\n\ufeff\n", {"a": "b"}),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in DOCUMENTS], ids=[row[0] for row in DOCUMENTS])
def test_documents(text: str, expected: Any) -> None:
    assert value(text) == expected
    assert constructor.load(text.encode("utf-16")).value == expected


REFUSED = [
    ("duplicate key", "a: 1\nb: 2\na: 3\n", "f:3: a: stands twice in one map; remove one of them"),
    ("duplicates, all of them", "a: 1\na: 2\nb: {c: 1, c: 2}\n", "f:2: a: stands twice in one map; remove one of them; f:3: c: stands twice in one map; remove one of them"),  # noqa: E501 # the whole message
    ("a merge brings a key that is there", "- &x {k: 1}\n- {k: 2, <<: *x}\n", "f:1: k: stands twice in one map; remove one of them"),
    ("merge of a scalar", "<<: a\n", "f:1: << takes a map, or a list of maps"),
    ("merge of a list of scalars", "<<: [a]\n", "f:1: << takes a map, or a list of maps"),
    ("null key", "~: a\n", "f:1: an empty key is no key"),
    ("list as key", "? [a]\n: b\n", "f:1: a list is no key"),
    ("huge number as key", "9223372036854775808: a\n", "f:1: 9223372036854775808 is no key"),
    ("unknown alias", "a: 1\nb: *x\n", "f:2: the alias x has no anchor before it"),
    ("loop", "a: &x [1, *x]\n", "f:1: the anchor x contains itself"),
    ("nested too deep", "[" * 129 + "]" * 129, "f:1: is nested more than 128 levels deep"),
    ("alias bomb", "- &a [" + "x," * 8999 + "]\n- [" + "*a," * 27 + "]\n- *a\n", "f:3: aliases stand for more than 250,000 values"),
    ("all but 1 % is aliases", "- &a [" + "x," * 9 + "]\n- &b [" + "*a," * 11 + "]\n- [" + "*b,\n" * 99 + "]\n", "f:101: aliases stand for 12,188 of 12,311 values, which is too much"),  # noqa: E501 # the whole text
    ("a ? between brackets", "a: b?c\nd: [A=http://x?y=1]\n", "f:2: is not YAML: has a ? in plain text between brackets; put the text into quotes"),  # noqa: E501 # the whole message
    ("a ? in a map in brackets", "{a: {b: c?}}\n", "f:1: is not YAML: has a ? in plain text between brackets; put the text into quotes"),
    ("a ? before a colon at the end", "[a?b:]\n", "f:1: is not YAML: found unexpected ':'; put the text into quotes"),
    ("a colon that opens a list", "[x:[y]]\n", "f:1: is not YAML: did not find expected ',' or ']'"),
    ("a byte order mark in the middle", "a: b\n\ufeff# c\nd: e\n", "f:2: is not YAML: has a byte order mark in its middle; remove it"),
    ("wrong !!int", "a:\n- !!int x\n", "f:2: 'x' is no int"),
    ("wrong !!binary", "!!binary 'Y Q=='", "f:1: !!binary is not base64"),
    ("not closed", "a: [1\n", "f:2: is not YAML: did not find expected ',' or ']'"),
    ("a tab", "a:\n\tb: 1\n", "f:2: is not YAML: has a tab where blanks belong; indent with blanks"),
    ("a control character", "a: b\nc: \x01\n", "f:2: is not YAML: control characters are not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(CdiError) as caught:
        constructor.load(text.encode(), file="f")
    assert str(caught.value) == message


def test_no_more_duplicates_are_told_than_anybody_reads() -> None:
    with pytest.raises(FaultsError) as caught:
        constructor.load(b"a: 1\n" * 1000)
    assert len(caught.value.faults) == constructor.MOST_FAULTS


def test_nesting_is_allowed_to_the_limit() -> None:
    assert value("[" * 128 + "]" * 128) is not None


def test_lines() -> None:
    document = constructor.load(b"# top\nkind: a\ndevices:\n- name: x\n- {name: y,\n   list: [1,\n  2]}\n")
    paths = [
        "kind",
        "devices",
        "devices[0]",
        "devices[0].name",
        "devices[1].name",
        "devices[1].list[1]",
        "devices[1].missing",
        "devices[7]",
        "no",
        "",
    ]
    assert [document.line(path) for path in paths] == [2, 3, 4, 4, 5, 7, 5, 3, 2, 2]  # fmt: skip


COLONS: list[tuple[str, Any]] = [
    ("env: [LD_LIBRARY_PATH=/usr/lib:]", {"env": ["LD_LIBRARY_PATH=/usr/lib:"]}),
    ("[A=1:, b]", ["A=1:", "b"]),
    ("{a: b:, c: d}", {"a": "b:", "c": "d"}),
    ("{a:: b}", {"a:": "b"}),
    ("[A=fe80::, it's:, é:]", ["A=fe80::", "it's:", "é:"]),
    ("[a :]", ["a :"]),
    ("[a: b:]", [{"a": "b:"}]),
    ("[a:, # b:\n c:]", ["a:", "c:"]),
    ("\ufeff[a:]", ["a:"]),
]


@pytest.mark.parametrize(("text", "expected"), COLONS, ids=[row[0] for row in COLONS])
def test_a_colon_at_the_end_between_brackets_is_text(text: str, expected: Any) -> None:
    assert value(text) == expected


def test_what_follows_such_a_colon_keeps_its_line() -> None:
    document = constructor.load(b"a: [x:,\n  y:]\nb: 1\n")
    assert [document.line(path) for path in ("a[0]", "a[1]", "b")] == [1, 2, 3]


def test_there_may_be_many_of_them() -> None:
    assert value("- [PATH=/opt/bin:]\n" * 500) == [["PATH=/opt/bin:"]] * 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a": "\/"}', {"a": "/"}),
        (r'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        ('{"a": "\x7f"}', {"a": "\x7f"}),
        ('{"a"\n: 1.50}', {"a": 1.5}),
        ('{"a": 1e400, "b": "\x7f"}', {"a": "1e400", "b": "\x7f"}),
        ('\t{\t"a":\t"\x7f"\t}', {"a": "\x7f"}),
        (f'{{"{"a" * 2000}": [{{"b" :1}}, "c:\\""]}}', {"a" * 2000: [{"b": 1}, 'c:"']}),
    ],
)
def test_valid_json_is_taken_where_yaml_trips(text: str, expected: Any) -> None:
    assert constructor.load(text.encode()).value == expected


def test_json_has_its_lines_too() -> None:
    document = constructor.load(b'{\n "a":\n  "\\ud83d\\ude00",\n "b": [1,\n 2]\n}')
    assert [document.line(path) for path in ("a", "b", "b[1]")] == [2, 4, 5]


@pytest.mark.parametrize("text", ['{"a": "\\ud83d"}', '{"a": 1, "a": 2, "b": "\x7f"}', '{"a": NaN, "b": "\x7f"}', "[" * 100_000])
def test_other_json_is_not(text: str) -> None:
    with pytest.raises(CdiError):
        constructor.load(text.encode())


LEAN = """
import sys
sys.path[:0] = {path!r}
from cdi_hook.yaml11 import constructor
from cdi_hook.errors import CdiError
assert constructor.load(b"a: [1, yes, 1.5, '2']").value == {{"a": [1, True, 1.5, "2"]}}
assert constructor.load(b"a: b").value == {{"a": "b"}}
try:
    constructor.load(b"a: [", file="f")
except CdiError as error:
    assert str(error).endswith("is not YAML: did not find expected node content"), str(error)
for data in (b"a: b\\n# \\xff", b"a: b\\n# \\x01"):
    try:
        constructor.load(data, file="f")
    except CdiError as error:
        assert str(error).startswith("f:2: is not YAML: "), str(error)
print([name for name in sys.modules if name == "yaml" or name in ("re", "datetime", "yaml.constructor")])
import yaml
assert yaml.load("a: 1", Loader=yaml.CSafeLoader) == {{"a": 1}} and yaml.safe_dump({{"a": 1}}) == "a: 1\\n"
try:
    yaml.load("a: [", Loader=yaml.CSafeLoader)
except yaml.YAMLError:
    print("caught")
"""


@pytest.mark.parametrize(("flags", "loaded"), [(["-I", "-S"], []), (["-I"], ["re", "datetime", "yaml.constructor", "yaml"])])
def test_a_process_of_our_own_loads_the_c_parser_alone(flags: list[str], loaded: list[str]) -> None:
    path = [str(ROOT), str(Path(yaml.__file__).parents[1])]
    done = subprocess.run([sys.executable, *flags, "-c", LEAN.format(path=path)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    found, caught = done.stdout.splitlines()
    assert set(loaded) <= set(eval(found))
    assert bool(loaded) == bool(eval(found))
    assert caught == "caught"


def test_without_the_c_parser_it_says_so(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]\nfrom cdi_hook.cdi import specfile\nprint(*specfile.parse(b'a: b', file='f').faults)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "f: YAML cannot be read: No module named 'yaml'; install PyYAML with its C extension (Debian: python3-yaml)\n"
