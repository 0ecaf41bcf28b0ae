"""Spec files: what is understood, every message, files that are none, what is written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.cdi import specfile
from cdi_hook.errors import FaultsError, VersionError
from cdi_hook.yaml11 import constructor
from tests.unit.specs import spec_text

ROOT = Path(__file__).parents[3]
EDITS = "cdiVersion: {version}\nkind: acme.com/gpu\ndevices:\n- name: a\n  containerEdits:\n    {edits}\n"


def with_edits(edits: str, version: str = "1.1.0") -> str:
    """A spec of one device with these edits, which begin in line 6."""
    return EDITS.format(version=version, edits=edits)


def faults(text: str | bytes, file: str = "f", *, strict: bool = False) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [str(fault) for fault in specfile.parse(data, file=file, strict=strict).faults]


MISSING = "is missing or empty; give the"
STAGES = "prestart, createRuntime, createContainer, startContainer, poststart, poststop"
VERSIONS = "0.3.0, 0.4.0, 0.5.0, 0.6.0, 0.7.0, 0.8.0, 1.0.0, 1.1.0"
SPEC_FIELDS = "cdiVersion, kind, annotations, devices, containerEdits"
EDIT_FIELDS = "env, deviceNodes, netDevices, hooks, mounts, intelRdt, additionalGids"
IN_EDITS = "devices[0].containerEdits"

WRONG: list[tuple[str, str, list[str]]] = [
    ("a number", "12\n", ["f:1: is the number 12, not an object with cdiVersion, kind and devices"]),
    ("a list", "- a\n", ["f:1: is a list, not an object with cdiVersion, kind and devices"]),
    ("empty", "", ["f: is empty; write a spec, or remove the file"]),
    ("comments alone", "# nothing\n---\n", ["f: is empty; write a spec, or remove the file"]),
    (
        "nothing in it",
        "{}\n",
        [
            f"f:1: kind: {MISSING} vendor and class of its devices: vendor.com/class",
            "f:1: devices: has no devices; define at least one",
            f"f:1: cdiVersion: is missing; write one of {VERSIONS}",
        ],
    ),
    ("unknown version", with_edits("env: [A=1]", '"1.0"'), [f'f:1: cdiVersion: "1.0" is no version of CDI; write one of {VERSIONS}']),
    ("version as a list", with_edits("env: [A=1]", "[1]"), ["f:1: cdiVersion: is a list, not text"]),
    (
        "version too low for a field",
        with_edits("additionalGids: [1]", "0.6.0"),
        [f'f:1: cdiVersion: "0.6.0" is too low: {IN_EDITS}.additionalGids needs 0.7.0; write 0.7.0 or higher'],
    ),
    (
        "version too low for a name",
        with_edits("env: [A=1]", "0.4.0").replace("name: a", 'name: "0"'),
        ['f:1: cdiVersion: "0.4.0" is too low: a device name that starts with a digit needs 0.5.0; write 0.5.0 or higher'],
    ),
    (
        "schemata that are empty",
        with_edits("intelRdt: {schemata: []}", "1.0.0"),
        [f'f:1: cdiVersion: "1.0.0" is too low: {IN_EDITS}.intelRdt.schemata needs 1.1.0; write 1.1.0 or higher'],
    ),
    ("a near name", with_edits("env: [A=1]") + "containerEdit: {}\n",
     ["f:7: containerEdit: is no field of CDI; do you mean containerEdits?"]),
    ("a strange name", with_edits("env: [A=1]") + "xyz: {}\n", [f"f:7: xyz: is no field of CDI; known here: {SPEC_FIELDS}"]),
    (
        "a field of older versions",
        with_edits("intelRdt: {enableCMT: true}"),
        [f"f:6: {IN_EDITS}.intelRdt.enableCMT: is no field of CDI; only versions 0.7.0 to 1.0.0 have it"],
    ),
    ("kind without a class", spec_text("acme"), ['f:2: kind: "acme" is not vendor/class; write vendor.com/class']),
    ("vendor", spec_text("1a/b"), ['f:2: kind: vendor name "1a" starts with "1"; start it with a letter']),
    ("class", spec_text("a/b-"), ['f:2: kind: class name "b-" ends with "-"; end it with a letter or digit']),
    (
        "device",
        spec_text().replace('"0"', '"-x"'),
        ['f:4: devices[0].name: device name "-x" starts with "-"; start it with a letter or digit'],
    ),
    ("device without a name", spec_text().replace('"0"', '""'), [f"f:4: devices[0].name: {MISSING} name within its kind"]),
    ("a name twice", spec_text(devices="a b a"),
     ['f:10: devices[2].name: "a" stands in devices[0] too; give each device a name of its own']),
    ("no edits", with_edits("env: []"), [f"f:5: {IN_EDITS}: has no edits; say what the container gets, such as deviceNodes"]),
    ("edits as text", with_edits("x"), [f"f:6: {IN_EDITS}: is text, not an object"]),
    ("a device that is null", with_edits("env: [A=1]") + "- null\n", [
        f"f:7: devices[1].name: {MISSING} name within its kind",
        "f:7: devices[1].containerEdits: has no edits; say what the container gets, such as deviceNodes",
    ]),
    ("a device that is a number", with_edits("env: [A=1]") + "- 1\n", ["f:7: devices[1]: is the number 1, not an object"]),
    ("variables", with_edits("env: [A, =1, A=]"),
     [f"f:6: {IN_EDITS}.env[{at}]: is not NAME=value; write a name, = and a value" for at in (0, 1)]),
    ("variables that are no list", with_edits("env: secret"), [f"f:6: {IN_EDITS}.env: is text, not a list"]),
    ("a variable that is a list", with_edits("env: [A=1, [x]]"), [f"f:6: {IN_EDITS}.env[1]: is a list, not text"]),
    ("node", with_edits("deviceNodes: [{type: x, permissions: rx}]"), [
        f"f:6: {IN_EDITS}.deviceNodes[0].path: {MISSING} absolute path in the container",
        f'f:6: {IN_EDITS}.deviceNodes[0].type: is "x"; write one of b, c, u, p',
        f'f:6: {IN_EDITS}.deviceNodes[0].permissions: is "rx"; write letters of rwm, or none',
    ]),
    ("a node that is null", with_edits("deviceNodes: [null]"),
     [f"f:6: {IN_EDITS}.deviceNodes[0].path: {MISSING} absolute path in the container"]),
    ("numbers", with_edits("deviceNodes: [{path: /a, major: 1.5, minor: x, uid: -1, gid: yes, fileMode: 4294967296}]"), [
        f"f:6: {IN_EDITS}.deviceNodes[0].major: is the number 1.5, not a whole number",
        f"f:6: {IN_EDITS}.deviceNodes[0].minor: is text, not a whole number",
        f"f:6: {IN_EDITS}.deviceNodes[0].uid: is the number -1, not a whole number from 0 to 4294967295",
        f"f:6: {IN_EDITS}.deviceNodes[0].gid: is the truth value true, not a whole number from 0 to 4294967295",
        f"f:6: {IN_EDITS}.deviceNodes[0].fileMode: is the number 4294967296, not a whole number from 0 to 4294967295",
    ]),
    ("net devices", with_edits("netDevices: [{hostInterfaceName: e, name: x}, {hostInterfaceName: e, name: x}, {name: m}]"), [
        f"f:6: {IN_EDITS}.netDevices[2].hostInterfaceName: {MISSING} name of the interface on the host",
        f'f:6: {IN_EDITS}.netDevices[1].hostInterfaceName: "e" stands in {IN_EDITS}.netDevices[0] too; name each interface once',
        f'f:6: {IN_EDITS}.netDevices[1].name: "x" stands in {IN_EDITS}.netDevices[0] too; name each interface once',
    ]),
    ("hook", with_edits("hooks: [{hookName: now, env: [x]}, {path: /x}]"), [
        f'f:6: {IN_EDITS}.hooks[0].hookName: is "now"; write one of {STAGES}',
        f"f:6: {IN_EDITS}.hooks[0].path: {MISSING} absolute path of the program on the host",
        f"f:6: {IN_EDITS}.hooks[0].env[0]: is not NAME=value; write a name, = and a value",
        f"f:6: {IN_EDITS}.hooks[1].hookName: is missing; write one of {STAGES}",
    ]),
    ("hooks by stage, one of them unknown", with_edits("hooks: {now: [{path: /x}]}"), [
        f'f:6: {IN_EDITS}.hooks[0].hookName: is "now"; write one of {STAGES}',
    ]),
    ("mount", with_edits("mounts: [{type: bind}, null]"), [
        f"f:6: {IN_EDITS}.mounts[{at}].{key}: {MISSING} absolute path {where}"
        for at in (0, 1) for key, where in (("hostPath", "on the host"), ("containerPath", "in the container"))
    ]),
    ("class of service", with_edits("intelRdt: {closID: a/b}"), [
        f"f:6: {IN_EDITS}.intelRdt.closID: is no name of a file; write a name below /sys/fs/resctrl, or / alone",
    ]),
    ("monitoring", with_edits("intelRdt: {enableMonitoring: 1}"), [
        f"f:6: {IN_EDITS}.intelRdt.enableMonitoring: is the number 1, not true or false",
    ]),
    ("annotations", "annotations: {a: [b], c: d}\n" + with_edits("env: [A=1]"), ["f:1: annotations.a: is a list, not text"]),
    ("annotations that are none", "annotations: a\n" + with_edits("env: [A=1]"),
     ["f:1: annotations: is text, not an object of text by text"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_faults(text: str, expected: list[str]) -> None:
    assert faults(text) == expected


def test_no_more_faults_are_told_than_anybody_reads() -> None:
    told = faults(with_edits(f"env: [{'x, ' * 1000}]"))
    assert len(told) == constructor.MOST_FAULTS + 1
    assert told[-1] == "f: may have more faults than these"
    told = faults(with_edits(f"deviceNodes: [{'{x: 1}, ' * 1000}]"))
    assert len(told) == constructor.MOST_FAULTS + 1


def test_the_edits_of_the_spec_come_last() -> None:
    for top in ("", "containerEdits: {env: [B=2]}\n"):
        spec = specfile.parse((top + with_edits("env: [A=1]")).encode()).spec
        assert spec is not None
        assert list(spec) == ["cdiVersion", "kind", "devices", "containerEdits"]


def test_a_file_by_any_name_may_be_json() -> None:
    edits = '{"env": ["A=\\ud83d\\ude00"], "x": 1}'
    text = '{"cdiVersion": "1.1.0", "kind": "acme.com/gpu", "devices": [{"name": "a", "containerEdits":\n ' + edits + "}]}"
    for file in ("f.yaml", "f.json"):
        assert faults(text, file) == [f"{file}:2: devices[0].containerEdits.x: is no field of CDI; known here: {EDIT_FIELDS}"]


def test_a_version_that_is_wrong_is_a_fault_of_its_own_kind() -> None:
    (fault,) = specfile.parse(with_edits("additionalGids: [1]", "0.3.0").encode()).faults
    assert isinstance(fault, VersionError)


NOTES: list[tuple[str, str, str, list[str]]] = [
    ("nothing to note", "f.yaml", with_edits("env: [A=1]"), []),
    ("the name", "f.yml", with_edits("env: [A=1]"), ["f.yml: has a name that other readers of CDI pass over; let it end in .yaml"]),
    (
        "hooks by stage",
        "f",
        with_edits("hooks: {prestart: [{path: /x}]}"),
        [f"f:6: {IN_EDITS}.hooks: is an object keyed by stage; write a list, with hookName in each hook"],
    ),
    (
        "a version that the reference does not ask for",
        "f",
        with_edits("mounts: [{hostPath: /a, containerPath: /b, type: bind}]", "0.3.0") + "- name: b\n  containerEdits: {env: [A=1]}\n",
        [f"f:6: {IN_EDITS}.mounts[0].type: needs version 0.4.0; declare it; some readers of CDI refuse the file"],
    ),
]


@pytest.mark.parametrize(("file", "text", "expected"), [row[1:] for row in NOTES], ids=[row[0] for row in NOTES])
def test_notes_are_faults_to_the_strict(file: str, text: str, expected: list[str]) -> None:
    loaded = specfile.parse(text.encode(), file=file)
    assert [str(note) for note in loaded.notes] == expected
    assert loaded.faults == []
    assert loaded.spec is not None
    strict = specfile.parse(text.encode(), file=file, strict=True)
    assert [str(fault) for fault in strict.faults] == expected
    assert strict.notes == []
    assert (strict.spec is None) == bool(expected)


UNDERSTOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("text from other scalars", "env: [A=1, 'B=2']\n    mounts: [{hostPath: 1, containerPath: yes, options: [010, 1.50]}]",
     {"env": ["A=1", "B=2"], "mounts": [{"hostPath": "1", "containerPath": "true", "options": ["8", "1.5"]}]}),
    ("zeros are left out, pointers kept", "deviceNodes: [{path: /a, major: 0, minor: 0, uid: 0, gid: 0, fileMode: 0, type: ''}]",
     {"deviceNodes": [{"path": "/a", "uid": 0, "gid": 0, "fileMode": 0}]}),
    ("null is absent", "env: [A=1]\n    mounts: ~\n    intelRdt: ~\n    hooks: null", {"env": ["A=1"]}),
    ("an object that is empty", "intelRdt: {}", {"intelRdt": {}}),
    ("case does not matter", "ENV: [A=1]", {"env": ["A=1"]}),
    ("the last spelling in the alphabet wins", "env: [A=1]\n    ENV: [B=1, C=1]", {"env": ["A=1"]}),
    ("two spellings of a list are one by one merged", "mounts: [{hostPath: /a}]\n    MOUNTS: [{containerPath: /b}, {hostPath: /c}]",
     {"mounts": [{"hostPath": "/a", "containerPath": "/b"}]}),
    ("hooks by stage", "hooks: {prestart: [{path: /x}], poststop: [{path: /y, timeout: 0}]}",
     {"hooks": [{"hookName": "prestart", "path": "/x"}, {"hookName": "poststop", "path": "/y", "timeout": 0}]}),
    ("a float by its shortest digits", "deviceNodes: [{path: /a, major: 1.2345678901234567e18}]",
     {"deviceNodes": [{"path": "/a", "major": 1234567890123456800}]}),
    ("floats that are whole", "additionalGids: [1e3, 0x10, 2.0]", {"additionalGids": [1000, 16, 2]}),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "expected"), [row[1:] for row in UNDERSTOOD], ids=[row[0] for row in UNDERSTOOD])
def test_understood(edits: str, expected: dict[str, Any]) -> None:
    loaded = specfile.parse(with_edits(edits).encode())
    assert [str(fault) for fault in loaded.faults] == []
    assert loaded.spec == {
        "cdiVersion": "1.1.0",
        "kind": "acme.com/gpu",
        "devices": [{"name": "a", "containerEdits": expected}],
        "containerEdits": {},
    }


def test_a_field_of_older_versions_is_taken_when_such_a_version_is_declared() -> None:
    loaded = specfile.parse(with_edits("intelRdt: {enableCMT: true}", "0.8.0").encode())
    assert loaded.spec is not None
    assert loaded.spec["devices"][0]["containerEdits"]["intelRdt"] == {"enableCMT": True}
    assert loaded.minimum_version == "0.7.0"


# --- files that are none, or bad


BAD: list[tuple[str, bytes, str]] = [
    ("binary", b"\x7fELF\x02\x01\x01" + bytes(range(256)), "{}:1: is not YAML: control characters are not allowed"),
    ("empty", b"", "{}: is empty; write a spec, or remove the file"),
    ("invalid UTF-8", spec_text().encode() + b"# \xff\n", "{}:7: is not YAML: invalid leading UTF-8 octet"),
    ("nested lists", b"[" * 100_000, "{}:1: is nested more than 128 levels deep"),
    ("nested maps", b"{a: " * 100_000, "{}:1: is nested more than 128 levels deep"),
    (
        "alias bomb",
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in range(97, 117)),
        "{}:4: aliases stand for 4,630 of 4,670 values, which is too much",
    ),
    ("duplicate key", b"cdiVersion: 0.6.0\nkind: a/b\nkind: a/c\n", "{}:3: kind: stands twice in one map; remove one of them"),
    (
        "a Python object",
        with_edits('env: !!python/object/apply:os.system ["touch executed"]').encode(),
        f"{{}}:6: {IN_EDITS}.env[0]: is not NAME=value; write a name, = and a value",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    assert [str(fault) for fault in specfile.read(str(path)).faults] == [message.format(path)]
    assert os.listdir(tmp_path) == ["x.yaml"]


def test_a_million_devices_are_too_many(tmp_path: Path) -> None:
    """Written in full they exceed the largest size; as aliases of one, the largest expansion."""
    path = tmp_path / "x.yaml"
    with path.open("w") as file:
        file.write(spec_text())
        file.writelines(f"- {{name: g{at}, containerEdits: {{env: [A=1]}}}}\n" for at in range(1_000_000))
    assert [str(fault) for fault in specfile.read(str(path)).faults] == [f"{path}: is larger than 32 MiB; split it into several files"]
    with path.open("w") as file:
        file.write(spec_text().replace("containerEdits:", "containerEdits: &e"))
        file.writelines(f"- {{name: g{at},containerEdits: *e}}\n" for at in range(900_000))
    assert [str(fault) for fault in specfile.read(str(path)).faults] == [f"{path}:62507: aliases stand for more than 250,000 values"]


def make_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.close()


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 64 << 20)


NO_FILES: list[tuple[str, Any, str]] = [
    ("huge", make_huge, "is larger than 32 MiB; split it into several files"),
    ("FIFO", os.mkfifo, "is a FIFO, not a regular file; move it away"),
    ("directory", os.mkdir, "is a directory, not a regular file; move it away"),
    ("socket", make_socket, "is a socket, not a regular file; move it away"),
    ("device", lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file; move it away"),
    ("dangling link", lambda path: path.symlink_to("nothing"), "cannot be read: does not exist"),
    ("loop of links", lambda path: path.symlink_to(path.name), "cannot be read: is a loop of symbolic links"),
    ("nothing there", lambda path: None, "cannot be read: does not exist"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "message"), [row[1:] for row in NO_FILES], ids=[row[0] for row in NO_FILES])
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "x.yaml"
    make(path)
    assert [str(fault) for fault in specfile.read(str(path)).faults] == [f"{path}: {message}"]


def test_a_path_that_is_none() -> None:
    (fault,) = specfile.read("a\0b").faults
    assert re.fullmatch(r"a\\x00b: cannot be read: (stat: )?embedded null (byte|character in path)", str(fault))


def test_a_file_that_nobody_may_read(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    path = tmp_path / "x.yaml"
    path.write_text(spec_text())
    path.chmod(0o600)
    for directory in [tmp_path, *list(tmp_path.parents)[:-2]]:
        directory.chmod(directory.stat().st_mode | 0o011)
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from cdi_hook.cdi import specfile\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(*specfile.read(sys.argv[1]).faults)"
    )
    command = [sys.executable, "-c", code, str(path), str(ROOT), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{path}: cannot be read: access is refused\n", "")


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(spec_text())
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: (path.write_text(path.read_text() + "#\n"), read(*args))[1])
    message = f"{path}: changes while it is read; its writer should write another file and rename it"
    assert [str(fault) for fault in specfile.read(str(path)).faults] == [message]


def test_a_file_that_has_just_been_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(spec_text())
    read = os.pread
    writes = iter([True])
    monkeypatch.setattr(
        os, "pread", lambda *args: (path.write_text(spec_text(devices="0 1")) if next(writes, False) else 0, read(*args))[1]
    )
    loaded = specfile.read(str(path))
    assert loaded.spec is not None
    assert len(loaded.spec["devices"]) == 2


@pytest.mark.timeout(60)
def test_a_writer_that_never_stops_is_no_endless_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(spec_text())
    end = time.monotonic() + 1

    def write() -> None:
        with path.open("a") as file:
            while time.monotonic() < end:
                file.write("#" * 4096)
                file.flush()
                file.truncate(4096)

    writer = threading.Thread(target=write)
    writer.start()
    while time.monotonic() < end:
        specfile.read(str(path))
    writer.join()
    assert specfile.read(str(path)).parses


MEBIBYTE = 1 << 20
COSTLY = {
    "lists of text": "[" + "a," * (MEBIBYTE // 2) + "]",
    "variables": with_edits("env: [" + "A=," * (MEBIBYTE // 3) + "A=]"),
    "numbers where text belongs": with_edits("env: [" + "1," * (MEBIBYTE // 2) + "1]"),
    "groups": with_edits("additionalGids: [" + "1," * (MEBIBYTE // 2) + "1]"),
    "devices that are null": "cdiVersion: 1.1.0\nkind: a/b\ndevices: [" + "~," * (MEBIBYTE // 2) + "~]",
    "unknown fields": "".join(f"k{at}: 1\n" for at in range(110_000)),
    "one key": "a: b\n" * (MEBIBYTE // 5),
    "anchors": "".join(f"- &a{at} x\n" for at in range(90_000)),
    "digits": "a: " + "9" * MEBIBYTE,
    "JSON": '{"a":[' + "[]," * (MEBIBYTE // 3) + "[]]}",
}

MEASURE = """
import sys, time
sys.path[:0] = sys.argv[2:]
from cdi_hook.cdi import specfile
data = open(sys.argv[1], "rb").read()
specfile.parse(b"a: 1")
start = time.process_time()
specfile.parse(data, file="f.json")
status = dict(line.split(":") for line in open("/proc/self/status"))
print(time.process_time() - start, status["VmHWM"].split()[0])
"""


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_a_mebibyte_takes_little_time_and_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    command = [sys.executable, "-c", MEASURE, str(path), str(ROOT), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    seconds, kibibytes = done.stdout.split()
    assert int(kibibytes) < 256 << 10
    # One second is what it may take; a machine that is busy with other things is given three.
    assert float(seconds) < 3


def test_the_collector_is_left_as_it_was() -> None:
    import gc

    assert gc.isenabled()
    specfile.parse(b"a: [")
    assert gc.isenabled()
    gc.disable()
    try:
        specfile.parse(b"a: 1")
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- specs that a program made


def made(**edits: Any) -> dict[str, Any]:
    return {"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": [{"name": "a", "containerEdits": edits}]}


CHECKED: list[tuple[str, Any, list[str]]] = [
    ("right", made(env=["A=1"]), []),
    ("nothing", None, ["f: is empty; write a spec, or remove the file"]),
    ("no object", [1], ["f: is a list, not an object with cdiVersion, kind and devices"]),
    ("a tuple is a list", made(env=("A=1",)), []),
    ("a path is no text", made(mounts=[{"hostPath": Path("/a"), "containerPath": "/b"}]),
     [f"f: {IN_EDITS}.mounts[0].hostPath: is a Python {type(Path()).__name__}, not text"]),
    ("bytes are no text", made(env=[b"A=1"]), [f"f: {IN_EDITS}.env[0]: is a Python bytes, not text"]),
    ("half a surrogate pair", made(env=["A=\ud800"]), [f"f: {IN_EDITS}.env[0]: is text with half of a surrogate pair, not text"]),
    ("a key that is no text", {**made(env=["A=1"]), 1: 2}, [f"f: 1: is no field of CDI; known here: {SPEC_FIELDS}"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in CHECKED], ids=[row[0] for row in CHECKED])
def test_check(spec: Any, expected: list[str]) -> None:
    assert [str(fault) for fault in specfile.mistakes(spec, file="f")] == expected


def test_check_of_a_spec_that_holds_itself() -> None:
    spec = made()
    spec["devices"].append(spec["devices"])
    assert [str(fault) for fault in specfile.mistakes(spec, file="f")] == ["f: is nested too deeply"]


MINIMUM = [
    ({"env": ["A=1"]}, "0.3.0"),
    ({"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "bind"}]}, "0.4.0"),
    ({"deviceNodes": [{"path": "/a", "hostPath": "/b"}]}, "0.5.0"),
    ({"intelRdt": {}}, "0.7.0"),
    ({"additionalGids": [0]}, "0.7.0"),
    ({"netDevices": [{"hostInterfaceName": "e", "name": "n"}]}, "1.1.0"),
    ({"intelRdt": {"enableMonitoring": True}}, "1.1.0"),
]


@pytest.mark.parametrize(("edits", "version"), MINIMUM)
def test_minimum_version(edits: dict[str, Any], version: str) -> None:
    assert specfile.minimum_version(made(**edits)) == version


# --- writing


def test_dump_yaml() -> None:
    spec = made(env=["A=yes", "B=1"], hooks=[{"path": "/x", "hookName": "prestart", "args": ["010", "yes", "~", "1.5", "é", "a: b", ""]}])
    spec["annotations"] = {"note": "no"}
    assert specfile.dump_yaml(spec) == (
        "---\n"
        "cdiVersion: 0.6.0\n"
        "kind: acme.com/gpu\n"
        "annotations:\n"
        '  note: "no"\n'
        "devices:\n"
        "- name: a\n"
        "  containerEdits:\n"
        "    env:\n"
        "    - A=yes\n"
        "    - B=1\n"
        "    hooks:\n"
        "    - hookName: prestart\n"
        "      path: /x\n"
        '      args:\n      - "010"\n      - "yes"\n      - "~"\n      - "1.5"\n      - é\n      - \'a: b\'\n      - ""\n'
    )


def test_dump_json() -> None:
    assert specfile.dump_json({**made(env=["A=é\x7f\u2028\U0001f600"]), "KIND": "acme.com/x"}) == (
        "{\n"
        '  "cdiVersion": "0.6.0",\n'
        '  "kind": "acme.com/gpu",\n'
        '  "devices": [\n    {\n      "name": "a",\n      "containerEdits": {\n'
        '        "env": [\n          "A=é\\u007f\\u2028\U0001f600"\n        ]\n      }\n    }\n  ]\n'
        "}\n"
    )


def test_what_is_no_spec_is_not_written() -> None:
    with pytest.raises(FaultsError) as caught:
        specfile.dump_yaml({"future": 1})
    assert str(caught.value) == f"future: is no field of CDI; known here: {SPEC_FIELDS}"
