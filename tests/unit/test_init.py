"""The Python interface: what the package offers by name, and that the manual has it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cdi_hook
from cdi_hook import errors

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs/api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", cdi_hook.__all__)
def test_a_public_name_is_there_and_in_the_manual(name: str) -> None:
    code = f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}\nfrom cdi_hook import {name}; print({name})"
    assert subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert name in dir(cdi_hook)
    assert name == "__version__" or f"`{name}" in MANUAL or f"{name}(" in MANUAL


def test_every_error_is_public() -> None:
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CdiError)}
    assert kinds | set(errors._ON_DEMAND) == {name for name in cdi_hook.__all__ if name.endswith("Error")}


def test_the_type_checker_is_told_the_same() -> None:
    (block,) = [node for node in ast.parse(Path(cdi_hook.__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    told = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == set(cdi_hook.__all__) - {"__version__"}


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="module 'cdi_hook' has no attribute 'nothing'"):
        cdi_hook.nothing  # type: ignore[attr-defined] # noqa: B018
