"""Spec files: their names, writing and removing them, as the CDI reference does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdi_hook import Registry
from cdi_hook.cdi import registry, specfile
from cdi_hook.errors import CdiError, NameSyntaxError
from tests.conformance.cases import ids, load

_NAMES = {
    "specName": registry.generate_spec_name,
    "transientSpecName": registry.generate_transient_spec_name,
    "nameForSpec": registry.generate_name_for_spec,
    "nameForTransientSpec": registry.generate_name_for_transient_spec,
}

DEPARTURES = {
    "write-parent": "a name that leads out of the spec directory is refused",
}
"""Cases where the result is another than the reference's, all of them quirks; docs/differences.md says why."""


@pytest.mark.parametrize("case", load("write", topic="name"), ids=ids)
def test_name(case: dict[str, Any]) -> None:
    function: Any = _NAMES[case["type"]]
    if case["expect"]["ok"]:
        assert function(*case["args"]) == case["expect"]["name"]
    else:
        with pytest.raises(NameSyntaxError):
            function(*case["args"])


@pytest.mark.parametrize("case", load("write", type="writeSpec"), ids=ids)
def test_write(case: dict[str, Any], tmp_path: Path) -> None:
    expect = case["expect"]
    if case["id"] in DEPARTURES:
        assert case["quirk"]
        expect = {"ok": False, "files": sorted(case["existing"])}
    specs = _registry(case, tmp_path)
    if expect["ok"]:
        path = Path(specs.write_spec(case["spec"], case["name"]))
        assert path == tmp_path / expect["written"]
        assert path.suffix == f".{expect['encoding']}"
        loaded = specfile.read(str(path))
        # Whether an empty containerEdits is written makes no difference: to a reader it is there.
        assert (loaded.spec, loaded.faults) == ({"containerEdits": {}, **expect["document"]}, [])
        assert path.stat().st_mode & 0o7777 == (0o644 if expect["written"] not in case["existing"] else 0o600)
    else:
        with pytest.raises(CdiError):
            specs.write_spec(case["spec"], case["name"])
    assert _files(tmp_path) == expect["files"]


@pytest.mark.parametrize("case", load("write", type="removeSpec"), ids=ids)
def test_remove(case: dict[str, Any], tmp_path: Path) -> None:
    specs = _registry(case, tmp_path)
    if case["expect"]["ok"]:
        specs.remove_spec(case["name"])
    else:
        with pytest.raises(CdiError):
            specs.remove_spec(case["name"])
    assert _files(tmp_path) == case["expect"]["files"]


def _registry(case: dict[str, Any], root: Path) -> Registry:
    dirs = [root / str(number) for number in range(case["specDirs"])]
    if case.get("specDirsExist", True):
        for directory in dirs:
            directory.mkdir()
    for name, text in case["existing"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
        (root / name).chmod(0o600)
    return Registry.discover(dirs)


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
