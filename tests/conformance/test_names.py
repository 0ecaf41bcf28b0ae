"""Names: the verdict and the split of the CDI reference."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.cdi import names
from cdi_hook.errors import NameSyntaxError
from tests.conformance.cases import ids, load

_PARTS = {"vendor": names.check_vendor, "class": names.check_class, "device": names.check_device}
_WHOLE = {"kind": "{}=dev", "vendor": "{}/class=dev", "class": "vendor.com/{}=dev", "device": "vendor.com/class={}"}


@pytest.mark.parametrize("case", load("names", type="qualified"), ids=ids)
def test_qualified(case: dict[str, Any]) -> None:
    expect = case["expect"]
    assert dict(zip(("vendor", "class", "name"), names.split_device(case["input"]))) == expect["split"]
    if expect["accepted"]:
        assert names.parse_qualified_name(case["input"]) == (expect["vendor"], expect["class"], expect["name"])
    else:
        with pytest.raises(NameSyntaxError):
            names.parse_qualified_name(case["input"])


@pytest.mark.parametrize("case", load("names", type="kind"), ids=ids)
def test_kind(case: dict[str, Any]) -> None:
    expect = case["expect"]
    vendor, class_ = names.split_kind(case["input"])
    assert {"vendor": vendor, "class": class_} == expect["split"]
    try:
        names.check_vendor(vendor)
        names.check_class(class_)
    except NameSyntaxError:
        assert not expect["accepted"]
    else:
        assert {"accepted": True, "vendor": vendor, "class": class_} == {key: expect[key] for key in ("accepted", "vendor", "class")}


@pytest.mark.parametrize("part", _PARTS)
def test_part(part: str) -> None:
    verdicts = {case["id"]: case["expect"]["accepted"] for case in load("names", type=part)}
    ours = {case["id"]: _accepts(part, case["input"]) for case in load("names", type=part)}
    assert ours == verdicts


@pytest.mark.parametrize("type_", _WHOLE)
def test_in_a_whole_name(type_: str) -> None:
    """A part has the same verdict inside a whole name."""
    for case in load("names", type=type_):
        try:
            names.parse_qualified_name(_WHOLE[type_].format(case["input"]))
        except NameSyntaxError:
            assert not case["expect"]["accepted"], case
        else:
            assert case["expect"]["accepted"], case


def _accepts(part: str, text: str) -> bool:
    try:
        _PARTS[part](text)
    except NameSyntaxError:
        return False
    return True
