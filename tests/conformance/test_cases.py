"""The committed copy of the cases is what the shared directory holds."""

from __future__ import annotations

import pytest

from tests.conformance import cases


@pytest.mark.parametrize("name", ["names.json", "annotations.json", "specs.json", "inject.json", "write.json", "README.md"])
def test_the_copy_is_fresh(name: str) -> None:
    if not (cases.SHARED / name).is_file():
        pytest.skip("there is no shared directory beside this tree: the copy is all there is")
    assert (cases.COPY / name).read_bytes() == (cases.SHARED / name).read_bytes()


def test_cases_are_found_and_counted() -> None:
    assert cases.DIRECTORY in (cases.SHARED, cases.COPY)
    assert {group: len(cases.load(group)) for group in ("names", "annotations", "specs", "inject", "write")} == {
        "names": 111,
        "annotations": 51,
        "specs": 415,
        "inject": 202,
        "write": 28,
    }
