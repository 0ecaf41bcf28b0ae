"""The reports' fields against the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

from cdi_hook.diagnostics import reports

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text(encoding="utf-8")


def test_the_page_lists_every_type_and_field() -> None:
    types = {
        name: list(kind.__annotations__)
        for name, kind in vars(reports).items()
        if name[0].isupper() and kind.__module__ == reports.__name__
    }
    listed = {name: re.findall(r"`(\w+)`", fields) for name, fields in re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.M)}
    assert {name: fields for name, fields in listed.items() if name in types} == types
