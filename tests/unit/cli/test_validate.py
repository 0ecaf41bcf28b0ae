"""``validate`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdi_hook.cdi import reference
from tests.unit.cli.conftest import Run
from tests.unit.specs import BROKEN, spec_text, write_files


def test_everything_in_the_directories(run: Run, host: Path) -> None:
    done = run("validate")
    assert (done.status, done.out, done.err) == (0, f"{host}/specs/acme.yaml: valid\n{host}/specs/nic.yaml: valid\n", "")


def test_all_faults_of_all_files_one_a_line(run: Run, host: Path) -> None:
    write_files(host, {"a.yaml": BROKEN.replace("acme.com/gpu", "acme"), "b.yaml": spec_text(), "c.yaml": ""})
    done = run("validate", "a.yaml", "b.yaml", "c.yaml", "d.yaml")
    assert (done.status, done.out) == (1, "b.yaml: valid\n")
    assert done.err == (
        'cdi-hook: a.yaml:2: kind: "acme" is not vendor/class; write vendor.com/class\n'
        "cdi-hook: a.yaml:3: devices: has no devices; define at least one\n"
        "cdi-hook: c.yaml: is empty; write a spec, or remove the file\n"
        "cdi-hook: d.yaml: cannot be read: does not exist\n"
    )


def test_a_directory_is_no_file(run: Run, host: Path) -> None:
    write_files(host, {"all/a.yaml": spec_text()})
    done = run("validate", "all")
    assert (done.status, done.out, done.err) == (1, "", "cdi-hook: all: is a directory; run cdi-hook validate --spec-dir all\n")


def test_as_json(run: Run, host: Path) -> None:
    write_files(host, {"a.yaml": BROKEN, "b.yml": spec_text()})
    done = run("validate", "--format", "json", "a.yaml", "b.yml")
    assert (done.status, done.err) == (1, "")
    fault = {"line": 3, "field": "devices", "reason": "has no devices", "fix": "define at least one"}
    note = {"line": 0, "field": "", "reason": "has a name that other readers of CDI pass over", "fix": "let it end in .yaml"}
    assert json.loads(done.out) == [
        {
            "file": "a.yaml",
            "valid": False,
            "errors": [{"message": "a.yaml:3: devices: has no devices; define at least one", **fault}],
            "notes": [],
        },
        {
            "file": "b.yml",
            "valid": True,
            "errors": [],
            "notes": [{"message": "b.yml: has a name that other readers of CDI pass over; let it end in .yaml", **note}],
        },
    ]


def test_strict_refuses_what_is_not_standard(run: Run, host: Path) -> None:
    write_files(host, {"b.yml": spec_text()})
    message = "b.yml: has a name that other readers of CDI pass over; let it end in .yaml"
    done = run("validate", "b.yml")
    assert (done.status, done.out, done.err) == (0, "b.yml: valid\n", f"cdi-hook: warning: {message}\n")
    done = run("validate", "--strict", "b.yml")
    assert (done.status, done.out, done.err) == (1, "", f"cdi-hook: {message}\n")


def test_conflicts_between_files_of_a_directory(run: Run, host: Path) -> None:
    write_files(host, {"specs/other.yaml": spec_text(devices="1 2")})
    done = run("validate", "--spec-dir", host / "specs")
    assert (done.status, done.out) == (1, f"{host}/specs/nic.yaml: valid\n")
    fix = "remove all but one of the definitions"
    assert done.err == (
        f"cdi-hook: {host}/specs/acme.yaml:7: acme.com/gpu=1: also defined by {host}/specs/other.yaml; {fix}\n"
        f"cdi-hook: {host}/specs/other.yaml:4: acme.com/gpu=1: also defined by {host}/specs/acme.yaml; {fix}\n"
    )


def test_files_that_are_named_do_not_conflict(run: Run, host: Path) -> None:
    write_files(host, {"a.yaml": spec_text(), "b.yaml": spec_text()})
    assert run("validate", "a.yaml", "b.yaml").status == 0


def test_directories_in_their_order_with_those_that_cannot_be_read(run: Run, host: Path) -> None:
    write_files(host, {"z/a.yaml": spec_text(), "file": "", "none/.keep": ""})
    done = run("validate", "--spec-dir", "z", "--spec-dir", "specs", "--spec-dir", "none", "--spec-dir", "file")
    assert (done.status, done.out) == (1, "z/a.yaml: valid\nspecs/acme.yaml: valid\nspecs/nic.yaml: valid\n")
    assert done.err == ("cdi-hook: file: is not a directory, so the search ends here; mend it, or take it out of the spec directories\n")


def test_no_directory_at_all(run: Run, host: Path) -> None:
    assert run("validate", "--spec-dir", "nowhere", "--format", "json").json() == []


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(BROKEN)
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        done = run("validate", "-")
    assert (done.status, done.out, done.err) == (1, "", "cdi-hook: standard input:3: devices: has no devices; define at least one\n")


def test_files_and_directories_together_are_wrong_usage(run: Run) -> None:
    done = run("validate", "--spec-dir", "specs", "a.yaml")
    assert done.status == 2
    assert done.err.endswith("error: either files or --spec-dir\n")


def test_broken_settings(run: Run, host: Path) -> None:
    (host / "config.yaml").write_text("future: 1\n")
    assert run("validate").status == 1
    write_files(host, {"a.yaml": spec_text()})
    assert run("validate", "a.yaml").status == 0


def test_the_schema(run: Run) -> None:
    assert run("schema").json() == reference.json_schema()


def test_the_reference_page(run: Run) -> None:
    done = run("schema", "--reference")
    assert (done.status, done.out, done.err) == (0, reference.reference(), "")


ONE_LETTER = 'the class "x" has one letter: CRI-O does not start with such a file, and containerd fails each create; choose a longer name'


def test_what_is_only_warned_of(run: Run, host: Path) -> None:
    """A line and exit status 0; with --strict a fault."""
    write_files(host, {"b.yaml": spec_text("acme.com/x")})
    done = run("validate", "b.yaml")
    assert (done.status, done.out, done.err) == (0, "b.yaml: valid\n", f"cdi-hook: warning: b.yaml:2: kind: {ONE_LETTER}\n")
    done = run("validate", "--strict", "b.yaml")
    assert (done.status, done.out, done.err) == (1, "", f"cdi-hook: b.yaml:2: kind: {ONE_LETTER}\n")
    (entry,) = run("validate", "--format", "json", "b.yaml").json()
    assert (entry["valid"], entry["errors"], [note["reason"] for note in entry["notes"]]) == (True, [], [ONE_LETTER.partition("; ")[0]])


def test_what_another_reader_would_refuse(run: Run, host: Path) -> None:
    write_files(host, {"b.yaml": spec_text().replace("0.6.0", "1.0.0")})
    assert run("validate", "b.yaml", "--for", "containerd-2.1.9").status == 0
    done = run("validate", "b.yaml", "--for", "podman-4.9")
    message = "is 1.0.0, and podman 4.9 (CDI library 0.6.2) knows CDI up to 0.6.0: it refuses the file; declare 0.6.0"
    assert (done.status, done.out, done.err) == (1, "", f"cdi-hook: b.yaml:1: cdiVersion: {message}\n")
    done = run("validate", "b.yaml", "--for", "podman")
    assert done.status == 0
    done = run("validate", "b.yaml", "--for", "kubelet")
    assert done.status == 2
    assert '"kubelet" is no reader of specs that is known; known are containerd-1.7.0 and later' in done.err


def test_names_of_two_files_that_differ_by_case(run: Run, host: Path) -> None:
    write_files(host, {"specs/b.yaml": spec_text("ACME.com/nic", "A")})
    done = run("validate", "--spec-dir", host / "specs")
    assert done.status == 0
    assert "acme.com/nic=a differs from ACME.com/nic=A" in done.err
    assert run("validate", "--spec-dir", host / "specs", "--strict").status == 1
