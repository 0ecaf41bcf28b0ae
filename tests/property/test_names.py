"""Names and annotations against an independent statement of the grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdi_hook.cdi import annotations as cdi_annotations
from cdi_hook.cdi import names
from cdi_hook.errors import NameSyntaxError

_QUALIFIER = r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_DEVICE = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_NAME = re.compile(f"({_QUALIFIER})/({_QUALIFIER})=({_DEVICE})")

_LETTER = "abzAZ"
_OTHER = _LETTER + "019"
_qualifiers = st.builds("{}{}{}".format, st.sampled_from(_LETTER), st.text(_OTHER + "_-.", max_size=4), st.sampled_from(_OTHER))
_devices = st.builds("{}{}{}".format, st.sampled_from(_OTHER), st.text(_OTHER + "_-.:", max_size=4), st.sampled_from(_OTHER))
_kinds = st.builds("{}/{}".format, _qualifiers | st.sampled_from(_LETTER), _qualifiers)
qualified_names = st.builds("{}={}".format, _kinds, _devices | st.sampled_from(_OTHER))
nearly_names = st.text(st.sampled_from("aZ0_-.:/=*, \n\u00e9\udcff")) | st.text()


@given(nearly_names | qualified_names)
def test_the_grammar_is_this_expression(text: str) -> None:
    match = _NAME.fullmatch(text)
    if match:
        assert names.parse_qualified_name(text) == match.groups()
        assert names.qualified_name(*match.groups()) == text
    else:
        with pytest.raises(NameSyntaxError) as caught:
            names.parse_qualified_name(text)
        assert str(caught.value).isprintable()


@given(nearly_names)
def test_the_split_loses_nothing(text: str) -> None:
    vendor, class_, name = names.split_device(text)
    assert (names.qualified_name(vendor, class_, name) if vendor else name) == text
    vendor, class_ = names.split_kind(text)
    assert (f"{vendor}/{class_}" if vendor else class_) == text


@given(nearly_names | _kinds.map("{}=*".format))
def test_a_selector_is_no_name(text: str) -> None:
    kind = names.split_selector(text)
    assert bool(kind) == bool(re.fullmatch(rf"{_QUALIFIER}/{_QUALIFIER}=\*", text))
    if kind:
        assert not _NAME.fullmatch(text)


@given(st.dictionaries(st.text(max_size=3).map("cdi.k8s.io/".__add__) | st.text(), st.lists(qualified_names, min_size=1, max_size=3)))
def test_requests_come_in_the_order_of_keys(wanted: dict[str, list[str]]) -> None:
    mapping = {key: ",".join(devices) for key, devices in wanted.items()}
    keys = sorted(key for key in wanted if key.startswith("cdi.k8s.io/"))
    assert cdi_annotations.parse_annotations(mapping) == (keys, [device for key in keys for device in wanted[key]])
    assert cdi_annotations.parse_annotations(dict(reversed(mapping.items()))) == cdi_annotations.parse_annotations(mapping)


@given(st.text(), st.text(), st.lists(qualified_names, min_size=1))
def test_what_is_written_can_be_read(plugin: str, id_: str, devices: list[str]) -> None:
    try:
        written = cdi_annotations.update_annotations({"other": ""}, plugin, id_, devices)
    except NameSyntaxError:
        return
    (key,) = written.keys() - {"other"}
    assert cdi_annotations.parse_annotations(written) == ([key], devices)
    assert key.isascii()
    assert len(key.partition("/")[2]) <= 63
