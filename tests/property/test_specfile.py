"""Any bytes give a verdict; what is written is read again as it was. The strategies come from the table of fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdi_hook.cdi import schema, specfile
from cdi_hook.errors import CdiError
from cdi_hook.yaml11 import constructor

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
TRICKY = st.sampled_from(
    ["yes", "010", "1_0", "~", "null", "<<", "1e3", ".5", "2001-01-01", "a: b", "- a", "#", "\u2028", "\x85", "\x7f", "\ufeff"]
)
TEXT = ANY_TEXT | TRICKY
FORMS: dict[str, st.SearchStrategy[str]] = {
    "version": st.just(schema.CURRENT),
    "kind": st.sampled_from(["acme.com/gpu", "a/b", "a-b_c.d/e.f"]),
    "device": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.:-]{0,6}[A-Za-z0-9])?", fullmatch=True),
    "env": st.builds("{}={}".format, TEXT.filter(lambda text: "=" not in text), TEXT),
    "permissions": st.sampled_from(["r", "rw", "rwm", "none"]),
    "closID": st.sampled_from(["/", "a", "..."]),
}
NUMBERS = {"int64": st.integers(-(1 << 63), (1 << 63) - 1), "uint32": st.integers(0, (1 << 32) - 1)}
ONCE = {"device": "name", "netDevice": "name"}


def values(field: schema.Field, type_: str) -> st.SearchStrategy[Any]:
    """Valid values of a type, none of them zero where that would be left out."""
    if type_ in schema.OBJECTS:
        return objects(type_)
    if type_ in NUMBERS:
        return NUMBERS[type_] if field.pointer or field.element else NUMBERS[type_].filter(bool)
    if type_ == "map":
        return st.dictionaries(TEXT, TEXT, min_size=1, max_size=3)
    if type_ == "bool":
        return st.just(True)
    if field.allowed:
        return st.sampled_from(field.allowed)
    return FORMS[field.form] if field.form else TEXT


def members(field: schema.Field) -> st.SearchStrategy[Any]:
    if not field.element:
        return values(field, field.type)
    key = ONCE.get(field.element)
    listed = st.lists(values(field, field.element), min_size=1, max_size=3, unique_by=(lambda value: value[key]) if key else None)
    if field.element == "netDevice":
        listed = listed.filter(lambda found: len({one["hostInterfaceName"] for one in found}) == len(found))
    return listed


def objects(type_: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = [field for field in schema.OBJECTS[type_] if not field.until]
    made = st.fixed_dictionaries(
        {field.name: st.deferred(lambda field=field: members(field)) for field in fields if field.required},  # type: ignore[misc]
        optional={field.name: st.deferred(lambda field=field: members(field)) for field in fields if not field.required},  # type: ignore[misc]
    )
    return made.filter(bool) if type_ == "edits" else made


SPECS = objects("spec").map(lambda spec: {"containerEdits": {}, **spec})


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS)
def test_what_is_written_is_read_again(spec: dict[str, Any]) -> None:
    assert specfile.mistakes(spec) == []
    for text, file in ((specfile.dump_yaml(spec), "x.yaml"), (specfile.dump_json(spec), "x.json")):
        loaded = specfile.parse(text.encode(), file=file)
        assert [str(fault) for fault in loaded.faults] == []
        assert loaded.spec == spec
        assert loaded.minimum_version == specfile.minimum_version(spec)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS)
def test_json_is_read_without_the_help_of_a_json_reader(spec: dict[str, Any]) -> None:
    """What we write as JSON, the reference's YAML reader can read."""
    assert specfile.parse(specfile.dump_json(spec).encode(), file="x").spec == spec


WORDS = "cdiVersion:_ kind:_ a/b devices: name:_ env:_ mounts:_ hooks:_ [ ] { } -_ __ :_ &a_ *a <<:_ !!int_ !!binary_ ' | > ~ 1e9 0x1 --- ?"
BYTES = [b'"', b"\\", b"\t", b"\n", b"\xff", b"\xef\xbb\xbf", b"\x00"]
PIECES = st.sampled_from([*BYTES, *(word.replace("_", " ").encode() for word in WORDS.split())])


@settings(max_examples=400)
@given(st.binary(max_size=60) | st.lists(PIECES, max_size=40).map(b"".join), st.sampled_from(["x.yaml", "x.json", "x.yml", ""]))
def test_any_bytes_give_a_verdict(data: bytes, file: str) -> None:
    loaded = specfile.parse(data, file=file)
    assert all(fault.file == file for fault in loaded.faults)
    assert (loaded.spec is None) == bool(loaded.faults)
    if not loaded.parses:
        assert (loaded.content_valid, loaded.version_valid, loaded.minimum_version) == (False, False, "")
    assert (loaded.spec is not None) == all((loaded.parses, loaded.content_valid, loaded.version_valid))
    if loaded.spec is not None:
        again = specfile.parse(specfile.dump_yaml(loaded.spec).encode(), file="x.yaml")
        assert again.spec == loaded.spec


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*schema.FIELDS["spec"], "name", "env"]), inner, max_size=4)
    ),
)


@given(JUNK)
def test_any_value_of_a_program_gives_a_verdict(value: Any) -> None:
    assert all(str(fault) for fault in specfile.mistakes(value))


@given(ANY_TEXT)
def test_text_that_is_quoted_stays_text(text: str) -> None:
    import yaml

    assert constructor.load(yaml.dump([text], default_style='"', allow_unicode=True).encode()).value == [text]


@given(st.text(st.sampled_from("0123456789abxo_+-.eE: TZ"), max_size=12))
def test_plain_scalars_never_fail(text: str) -> None:
    from cdi_hook.yaml11.scalars import float_text, resolve

    value = resolve(text)
    if isinstance(value, float):
        assert float_text(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        assert -(1 << 63) <= value < 1 << 64


@pytest.mark.parametrize("depth", [10, 127, 128, 129, 1000])
def test_nesting_ends_in_a_verdict(depth: int) -> None:
    try:
        constructor.load(b"[" * depth + b"]" * depth)
    except CdiError:
        assert depth > constructor.DEPTH
    else:
        assert depth <= constructor.DEPTH
