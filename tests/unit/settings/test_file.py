"""The settings in full YAML: every value, every fault in words, and the pages that are made from the rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.errors import FaultsError
from cdi_hook.settings import file as settings_file
from cdi_hook.settings import values

ROOT = Path(__file__).parents[3]
FILE = "/etc/cdi-hook/config.yaml"


def read(text: str | bytes) -> tuple[dict[str, Any], list[str]]:
    """What the settings are, and the messages."""
    ours, fault = settings_file.read(text.encode() if isinstance(text, str) else text, FILE, values.DEFAULTS)
    faults = fault.faults if isinstance(fault, FaultsError) else [fault] if fault is not None else []
    return ours, [str(each) for each in faults]


def test_there_is_a_row_for_every_setting_and_no_other() -> None:
    assert [row.key for row in settings_file.ROWS] == list(values.DEFAULTS)


def test_every_default_is_allowed_by_its_row() -> None:
    for row in settings_file.ROWS:
        if row.key != "runtime":
            assert settings_file._wrong(row, values.DEFAULTS[row.key], values.DEFAULTS[row.key]) is None, row.key


GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("nothing", "", {}),
    ("comments alone", "# one\n", {}),
    ("a document mark", "---\nenabled: false\n", {"enabled": False}),
    ("quoted", 'runtime: "/opt/my runc"\n', {"runtime": "/opt/my runc"}),
    ("a comment behind", "runtime: /usr/bin/krun # not crun\n", {"runtime": "/usr/bin/krun"}),
    ("a list of lines", "specDirs:\n- /a\n- /b c\n", {"specDirs": ["/a", "/b c"]}),
    (
        "a group on one line",
        "log: {file: /l, level: debug, format: text}\n",
        {"log.file": "/l", "log.level": "debug", "log.format": "text"},
    ),
    ("a group with everything commented out", "log:\n#  file: /l\n", {}),
    ("no log, said outright", 'log:\n  file: ""\n', {}),
    (
        "requests",
        "requests:\n  annotations: [a.b/]\n  environment: [CDI_DEVICES]\n  mounts: true\n  selectors: true\n  sandboxes: true\n",
        {
            "requests.annotations": ["a.b/"],
            "requests.environment": ["CDI_DEVICES"],
            "requests.mounts": True,
            "requests.selectors": True,
            "requests.sandboxes": True,
        },
    ),
    ("no annotations", "requests: {annotations: []}\n", {"requests.annotations": []}),
    ("a prefix that ends behind its slash", "requests: {annotations: [cdi.k8s.io/vfio]}\n", {"requests.annotations": ["cdi.k8s.io/vfio"]}),
    ("harden", "harden: {hookEnv: false, capabilities: false}\n", {"harden.hookEnv": False, "harden.capabilities": False}),
    ("words", "stale: ignore\nhook: {tooLate: warn}\n", {"stale": "ignore", "hook.tooLate": "warn"}),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_values(text: str, expected: dict[str, Any]) -> None:
    assert read(text) == ({**values.DEFAULTS, **expected}, [])


KNOWN = "known here: enabled, runtime, specDirs, log, requests, harden, stale, hook"
LOG = "known here: log.file, log.level, log.format"
PATHS = "write a list of absolute paths, such as [/etc/cdi, /var/run/cdi]"
PREFIXES = "write a list of beginnings of annotation keys, each with its slash, such as [cdi.k8s.io/]"
NAMES = "write a list of names of variables, such as [CDI_DEVICES]"
NO_POLICY = "belongs to a later version; this one has no policy, and does not pretend to; take it out"
BAD: list[tuple[str, str, str]] = [
    ("an unknown key", "enabled: true\ncolour: red\n", f":2: colour: is no setting; {KNOWN}"),
    ("a misspelt key", "runtme: /r\n", f":1: runtme: is no setting; do you mean runtime? {KNOWN}"),
    ("a misspelt key in a group", "log:\n  levle: info\n", f":2: log.levle: is no setting; do you mean log.level? {LOG}"),
    ("a dotted key", "log.level: debug\n", f":1: log.level: is no setting; do you mean log.level? {LOG}"),
    ("a key that is no text", "1: x\n", f":1: 1: is no setting; {KNOWN}"),
    ("a key of the top in a group", "log:\n  runtime: /r\n", f":2: log.runtime: is no setting; do you mean runtime? {LOG}"),
    ("a switch that is text", "enabled: 'no'\n", ":1: enabled: is text; write true or false"),
    ("a switch without a value", "enabled:\n", ":1: enabled: is empty; write true or false"),
    ("a switch that is a number", "harden: {fileMode: 1}\n", ":1: harden.fileMode: is a number; write true or false"),
    ("a relative runtime", "runtime: runc\n", ':1: runtime: is "runc"; write an absolute path'),
    ("an empty runtime", 'runtime: ""\n', ':1: runtime: is ""; write an absolute path'),
    ("no runtime behind the key", "runtime:\n", ":1: runtime: is empty; write an absolute path"),
    ("a runtime that is a list", "runtime: [/a]\n", ":1: runtime: is a list; write an absolute path"),
    ("a relative log", "log:\n  file: x.log\n", ':2: log.file: is "x.log"; write an absolute path'),
    ("a level that is none", "log:\n  level: loud\n", ':2: log.level: is "loud"; write one of debug, info, warning, error'),
    ("a word that is a switch", "stale: true\n", ":1: stale: is true; write one of fail, warn, ignore"),
    ("a hook that may not ignore", "hook:\n  tooLate: ignore\n", ':2: hook.tooLate: is "ignore"; write one of fail, warn'),
    ("a group that is text", "log: debug\n", ":1: log: is text, not a map; write file, level, format below it, indented"),
    ("paths that are one", "specDirs: /a\n", f":1: specDirs: is text, not a list; {PATHS}"),
    ("no paths", "specDirs: []\n", f":1: specDirs: is empty: there would be no device at all; {PATHS}"),
    ("a relative path among paths", "specDirs: [/a, b]\n", f':1: specDirs: holds "b"; {PATHS}'),
    ("a number among paths", "specDirs: [/a, 1]\n", f":1: specDirs: holds a number; {PATHS}"),
    ("an empty prefix", 'requests: {annotations: [""]}\n', f':1: requests.annotations: holds ""; {PREFIXES}'),
    ("a prefix without its slash", "requests: {annotations: [cdi]}\n", f':1: requests.annotations: holds "cdi"; {PREFIXES}'),
    ("a pattern", 'requests: {annotations: ["a/*"]}\n', f':1: requests.annotations: holds "a/*"; {PREFIXES}'),
    ("a variable with its value", "requests: {environment: [A=b]}\n", f':1: requests.environment: holds "A=b"; {NAMES}'),
    ("a policy, which this version would not enforce", "enabled: true\npolicy:\n  default: deny\n", f":2: policy: {NO_POLICY}"),
    ("a list of settings", "- enabled\n", ":1: is a list, not a map of settings; write lines such as runtime: /usr/sbin/runc"),
    ("a text", "hello\n", ":1: is text, not a map of settings; write lines such as runtime: /usr/sbin/runc"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_faults(text: str, message: str) -> None:
    assert read(text) == (values.DEFAULTS, [FILE + message])


def test_all_faults_are_told_at_once() -> None:
    assert read("stale: x\nenabled: 1\nfoo: 2\n")[1] == [
        f'{FILE}:1: stale: is "x"; write one of fail, warn, ignore',
        f"{FILE}:2: enabled: is a number; write true or false",
        f"{FILE}:3: foo: is no setting; {KNOWN}",
    ]


def test_control_characters_stay_out_of_messages() -> None:
    assert read('stale: "a\\nb"\n')[1] == [f'{FILE}:1: stale: is "a\\nb"; write one of fail, warn, ignore']


SALVAGED: list[tuple[str, bytes, str]] = [
    ("another setting is wrong", b"stale: x\nruntime: /usr/bin/crun\n", "/usr/bin/crun"),
    ("the runtime itself is wrong", b"runtime: crun\n", ""),
    ("no YAML", b"runtime: /usr/bin/crun\nlog: [\n", "/usr/bin/crun"),
    ("no YAML, and a comment behind", b"x: [\nruntime: /usr/bin/crun  # mine\n", "/usr/bin/crun"),
    ("no YAML, in quotes", b"x: [\nruntime: \"/opt/my runc\"\n", "/opt/my runc"),
    ("no YAML, in single quotes", b"x: [\n'runtime' : '/opt/my runc'\n", "/opt/my runc"),
    ("no YAML, the line ends of another system", b"x: [\r\nruntime: /usr/bin/crun\r\n", "/usr/bin/crun"),
    ("no text at all", b"\xff\xfe\nruntime: /usr/bin/crun\n\x00", "/usr/bin/crun"),
    ("no YAML, a relative runtime", b"x: [\nruntime: crun\n", ""),
    ("no YAML, the runtime commented out", b"x: [\n# runtime: /usr/bin/crun\n", ""),
    ("no YAML, another key", b"x: [\nmy-runtime: /usr/bin/crun\n", ""),
    ("a key twice", b"runtime: /a\nenabled: true\nenabled: true\n", "/a"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "runtime"), [row[1:] for row in SALVAGED], ids=[row[0] for row in SALVAGED])
def test_the_runtime_of_a_broken_file_is_found_so_that_containers_can_be_killed(data: bytes, runtime: str) -> None:
    ours, faults = settings_file.read(data, FILE, values.DEFAULTS)
    assert ours == {**values.DEFAULTS, "runtime": runtime}
    assert faults is not None


def test_a_text_that_is_no_yaml_is_refused_with_its_line() -> None:
    _, faults = read("enabled: true\nlog: [\n")
    assert len(faults) == 1
    assert faults[0].startswith(f"{FILE}:3: ")


def test_a_key_twice_is_refused() -> None:
    _, faults = read("enabled: true\nenabled: true\n")
    assert len(faults) == 1
    assert faults[0].startswith(f"{FILE}:2: ")
    assert "enabled" in faults[0]


def test_the_plain_reader_and_the_parser_agree() -> None:
    """On texts made of lines, plain ones and ones that are almost: what the plain reader takes, it takes for the same."""
    lines = [
        "# x",
        "",
        "enabled: false",
        "runtime: /usr/bin/crun",
        "specDirs: [/a, /b]",
        "log:",
        "  file: /l",
        "  level: debug",
        "stale: warn",
        "  x: 1",
    ]
    plain = 0
    for chosen in itertools.chain.from_iterable(itertools.product(lines, repeat=length) for length in (1, 2, 3)):
        data = "".join(f"{line}\n" for line in chosen).encode()
        found = values.plain(data)
        if found is not None:
            plain += 1
            assert settings_file.read(data, FILE, values.DEFAULTS) == (found, None), data
    assert plain > 100


# --- pages made from the rows


def test_the_page_is_fresh() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_file.page(values.DEFAULTS)


def test_the_example_is_fresh() -> None:
    assert (ROOT / "docs/config.example.yaml").read_text() == settings_file.example(values.DEFAULTS)


def test_the_example_changes_nothing_but_what_has_no_default() -> None:
    ours, faults = read(settings_file.example(values.DEFAULTS))
    assert faults == []
    assert ours == {**values.DEFAULTS, "runtime": "/usr/sbin/runc", "log.file": "/var/log/cdi-hook.log"}
