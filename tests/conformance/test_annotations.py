"""Annotations: the verdict and the result of the CDI reference, in the order of sorted keys."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.cdi import annotations as cdi_annotations
from cdi_hook.errors import NameSyntaxError
from tests.conformance.cases import ids, load


@pytest.mark.parametrize("case", load("annotations", type="parse"), ids=ids)
def test_parse(case: dict[str, Any]) -> None:
    expect = case["expect"]
    if expect["accepted"]:
        assert cdi_annotations.parse_annotations(case["annotations"]) == (expect["keys"], expect["devices"])
    else:
        with pytest.raises(NameSyntaxError):
            cdi_annotations.parse_annotations(case["annotations"])


@pytest.mark.parametrize("case", load("annotations", type="key"), ids=ids)
def test_key(case: dict[str, Any]) -> None:
    if case["expect"]["accepted"]:
        assert cdi_annotations.annotation_key(case["plugin"], case["deviceID"]) == case["expect"]["key"]
    else:
        with pytest.raises(NameSyntaxError):
            cdi_annotations.annotation_key(case["plugin"], case["deviceID"])


@pytest.mark.parametrize("case", load("annotations", type="value"), ids=ids)
def test_value(case: dict[str, Any]) -> None:
    if case["expect"]["accepted"]:
        assert cdi_annotations.annotation_value(case["devices"]) == case["expect"]["value"]
    else:
        with pytest.raises(NameSyntaxError):
            cdi_annotations.annotation_value(case["devices"])


@pytest.mark.parametrize("case", load("annotations", type="update"), ids=ids)
def test_update(case: dict[str, Any]) -> None:
    before = None if case["annotations"] is None else dict(case["annotations"])
    if case["expect"]["accepted"]:
        after = cdi_annotations.update_annotations(case["annotations"], case["plugin"], case["deviceID"], case["devices"])
        assert after == case["expect"]["annotations"]
    else:
        with pytest.raises(NameSyntaxError):
            cdi_annotations.update_annotations(case["annotations"], case["plugin"], case["deviceID"], case["devices"])
    assert case["annotations"] == before
