"""``cdi_hook.cdi.unresolved``: each message as a whole, since it is all that the user of an engine gets to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdi_hook import Registry
from cdi_hook.errors import CdiError, ConflictError, UnresolvedError
from tests.unit.specs import BROKEN, spec_text, write_files


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Two spec directories, ``low`` and ``high``, that exist."""
    dirs = [tmp_path / "low", tmp_path / "high"]
    for path in dirs:
        path.mkdir()
    return [str(path) for path in dirs]


def _message(specs: Registry, *names: str, kind: type[CdiError] = UnresolvedError) -> str:
    with pytest.raises(CdiError) as caught:
        specs.parts(names)
    assert type(caught.value) is kind
    return str(caught.value)


def test_unknown_among_known(two: list[str], tmp_path: Path) -> None:
    write_files(tmp_path / "low", {"a.yaml": spec_text(devices="gpu0 gpu1"), "b.yaml": spec_text("other.org/nic", "eth0")})
    specs = Registry.discover(two)
    searched = f"searched: {two[0]}, {two[1]}"
    assert _message(specs, "acme.com/gpu=gpu2") == (
        f"acme.com/gpu=gpu2 is not known; near names: acme.com/gpu=gpu0, acme.com/gpu=gpu1; {searched}"
    )
    assert _message(specs, "ACME.com/gpu=gpu0", "acme.com/gpu=gpu0") == (
        f"ACME.com/gpu=gpu0 is not known; near names: acme.com/gpu=gpu0, acme.com/gpu=gpu1; {searched}"
    )
    assert _message(specs, "eth0", "zzz", "eth0") == f'"eth0", "zzz" are not known; near names: other.org/nic=eth0; {searched}'
    assert _message(specs, "q") == f'"q" is not known; {searched}'


def test_the_nearest_name_comes_first(two: list[str], tmp_path: Path) -> None:
    """Of the devices of one kind, by their own names, whatever the order of files and requests."""
    write_files(tmp_path / "low", {"a.yaml": spec_text(devices="gpu0 gpu12 gpu1 tpu9 all")})
    specs = Registry.discover(two)
    for name, near in {"gpu11": "gpu1, gpu12, gpu0", "gpu12x": "gpu12, gpu1, gpu0", "al": "all, ", "TPU9": "tpu9, "}.items():
        listed = ", acme.com/gpu=".join(near.split(", "))
        assert f"near names: acme.com/gpu={listed}" in _message(specs, f"acme.com/gpu={name}") + ";"


def test_nothing_known_and_a_directory_missing(tmp_path: Path) -> None:
    specs = Registry.discover([tmp_path, tmp_path / "none"])
    assert _message(specs, "acme.com/gpu=0") == (
        f"acme.com/gpu=0 is not known; no device is known at all; searched: {tmp_path}, {tmp_path}/none (missing)"
    )
    assert _message(Registry.discover([]), "acme.com/gpu=0") == (
        "acme.com/gpu=0 is not known; no device is known at all; searched: no directory"
    )


def test_a_selector_that_selects_nothing(tmp_path: Path) -> None:
    specs = Registry.discover([tmp_path])
    assert _message(specs, *specs.expand(["acme.com/nic=*"])).startswith("acme.com/nic=* is not known; ")


def test_a_file_that_may_define_it_does_not_load(two: list[str], tmp_path: Path) -> None:
    write_files(tmp_path / "low", {"zzz.yaml": BROKEN, "other.yaml": "{"})
    specs = Registry.discover(two)
    path = f"{two[0]}/zzz.yaml"
    fault = specs.errors[path][0]
    assert fault.line == 3
    assert _message(specs, "acme.com/gpu=0") == (
        f"acme.com/gpu=0 is not known; {path}, which may define it, does not load: line 3: {fault.field}: {fault.reason}; "
        f"no device is known at all; searched: {two[0]}, {two[1]}; run cdi-hook validate {path}"
    )


@pytest.mark.parametrize(
    ("name", "content", "suspect"),
    [
        ("acme.yaml", b"", True),
        ("x.yaml", b"", False),
        ("x.yaml", '{"kind": "acme.com\\/gpu"'.encode("utf-16"), True),
        ("x.json", b'{"kind": "acme.com\\/gpu"', True),
        ("x.json", b'{"kind": "other.org/gpu"', False),
        ("x.yaml", "fifo", True),
        ("x.yaml", "linked directory", True),
        ("x.yaml", "dangling link", True),
    ],
)
def test_which_files_may_define_it(two: list[str], name: str, content: bytes | str, suspect: bool) -> None:
    path = Path(two[0], name)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(two[1] if content == "linked directory" else "nothing")
    assert ("which may define it, does not load" in _message(Registry.discover(two), "acme.com/gpu=0")) == suspect


def test_many_names_and_files_are_counted(two: list[str], tmp_path: Path) -> None:
    write_files(tmp_path / "low", {f"acme{number}.yaml": "" for number in range(5)})
    message = _message(Registry.discover(two), *(f"acme.com/gpu={number}" for number in range(150)))
    assert "acme.com/gpu=99 and 50 more are not known; " in message
    assert message.count("which may define them, does not load: ") == 3
    assert f"; nor do {two[0]}/acme3.yaml, {two[0]}/acme4.yaml; " in message
    Path(two[0], "acme4.yaml").unlink()
    assert f"; nor does {two[0]}/acme3.yaml; " in _message(Registry.discover(two), "acme.com/gpu=0")


def test_conflicts_alone(two: list[str], tmp_path: Path) -> None:
    write_files(tmp_path / "low", {"a.yaml": spec_text(), "b.yaml": spec_text()})
    message = f"acme.com/gpu=0 cannot be used: {two[0]}/a.yaml and {two[0]}/b.yaml define it alike"
    specs = Registry.discover(two)
    assert _message(specs, "acme.com/gpu=0", kind=ConflictError) == f"{message}; remove all but one of the definitions"
    assert _message(specs, "acme.com/gpu=0", "acme.com/gpu=1") == (
        f"acme.com/gpu=1 is not known; {message}; no device is known at all; searched: {two[0]}, {two[1]}"
    )


def test_many_conflicts(two: list[str], tmp_path: Path) -> None:
    text = spec_text(devices="0 1 2 3 4")
    write_files(tmp_path / "low", {"a.yaml": text, "b.yaml": text})
    message = _message(Registry.discover(two), *(f"acme.com/gpu={number}" for number in range(5)), kind=ConflictError)
    assert message.count("define it alike") == 3
    assert "; the same is true of acme.com/gpu=3, acme.com/gpu=4; " in message


def test_an_unreadable_directory_is_named(two: list[str], tmp_path: Path) -> None:
    write_files(tmp_path, {"file": "", "high/a.yaml": spec_text()})
    assert _message(Registry.discover([tmp_path / "file", two[1]]), "acme.com/gpu=0") == (
        "acme.com/gpu=0 is not known; no device is known at all; "
        f"searched: {tmp_path}/file (is not a directory, so the search ends here), {two[1]}"
    )


def test_what_comes_from_a_container_stays_on_one_line(two: list[str]) -> None:
    message = _message(Registry.discover(two), "a\nb\x1b[2J", "x" * 5000)
    assert message.startswith(f'"a\\nb\\x1b[2J", "{"x" * 120}…" (5000 characters) are not known; ')
