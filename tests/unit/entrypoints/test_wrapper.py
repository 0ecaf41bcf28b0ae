"""The truth table of the wrapper: (subcommand, request, fault) -> read? written? executed? said?

Each row runs the entry point in a forked child; the real runtime is a small script that writes down how it was called.
"""

from __future__ import annotations

import json
import os
import posix
import re
import stat
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cdi_hook import memory
from cdi_hook.entrypoints.wrapper import main
from cdi_hook.errors import BundleError
from cdi_hook.oci import bundle
from cdi_hook.pipeline import plan
from cdi_hook.settings import values
from tests.unit.world import Config, World, asking

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Outcome(NamedTuple):
    status: int
    read: list[str]
    """The configs that were opened, relative to the root."""
    executed: list[str] | None
    """The argv of the real runtime."""
    stdout: str
    stderr: str
    log: str
    """The runtime's log, times replaced."""


class Wrapper:
    """A bundle, a runtime, settings, and the entry point."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.patch = monkeypatch
        self.world = World(root, monkeypatch)
        self.world.spec("acme.com/gpu", {"0": {"env": ["GPU=0"]}})
        self.bundle = root / "bundle"
        self.cwd = root / "cwd"
        self.bundle.mkdir()
        self.cwd.mkdir()
        self.log = root / "log"
        self.runtime = self.program("runc")
        self.settings = root / "config.yaml"
        self.set(f"runtime: {self.runtime}\nspecDirs: [{self.world.specs}]\n")
        self.environ: dict[bytes, bytes] = {b"CDI_HOOK_CONFIG": bytes(self.settings), b"PATH": b"/nowhere"}

    def program(self, name: str, more: str = "") -> Path:
        """A runtime of this name. ``more``: what else it does; only builtins are fast."""
        path = self.root / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" >{self.root}/called\n{more}\necho out\necho err >&2\nexit 7\n')
        path.chmod(0o755)
        return path

    def set(self, text: str) -> None:
        self.settings.write_text(text)

    def write(self, config: Config | str, path: Path | None = None) -> None:
        path = path or self.bundle / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        os.utime(path, ns=(10**18, 10**18))

    def __call__(self, *args: str, self_path: str = "/opt/bin/cdi-runtime", stdin: bytes = b"") -> Outcome:
        """Run the entry point with these arguments, in ``cwd``."""
        called, read = self.root / "called", self.root / "read"
        for path in (called, read, self.log):
            if path.is_file():
                path.unlink()
        (self.root / "input").write_bytes(stdin)
        self.patch.setattr(posix, "environ", self.environ)
        out, err = self.root / "stdout", self.root / "stderr"
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                for number, path in enumerate((self.root / "input", out, err)):
                    fd = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    os.dup2(fd, number)
                os.closerange(3, 256)
                os.open("/dev/zero", os.O_RDONLY)
                os.set_inheritable(3, True)
                os.chdir(self.cwd)
                self.note_reads(read)
                status = main([self_path, *args])
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Outcome(
            status,
            [self.short(line) for line in read.read_text().splitlines()] if read.exists() else [],
            [self.short(line) for line in called.read_text().splitlines()] if called.exists() else None,
            self.short(out.read_text()),
            self.short(err.read_text()),
            self.short(re.sub(TIME, "TIME", self.log.read_text())) if self.log.is_file() else "",
        )

    def short(self, text: str) -> str:
        return text.replace(str(self.root), "ROOT")

    def note_reads(self, file: Path) -> None:
        real = bundle.read_config

        def read(path: str) -> Any:
            with file.open("a") as opened:
                opened.write(f"{path}\n")
            return real(path)

        bundle.read_config = read  # in the child alone

    def config(self) -> Config:
        value: Config = json.loads((self.bundle / "config.json").read_text())
        return value

    def is_untouched(self, path: Path | None = None) -> bool:
        """Whether the config was not written since ``write``, and nothing lies beside it."""
        path = path or self.bundle / "config.json"
        return path.stat().st_mtime_ns == 10**18 and os.listdir(path.parent) == [path.name]


@pytest.fixture
def wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wrapper:
    return Wrapper(tmp_path, monkeypatch)


GPU = asking("acme.com/gpu=0")
EDITED = {**GPU, "process": {"env": ["GPU=0"]}}
NOTHING: Config = {"annotations": {"a": "b"}}
UNKNOWN = asking("acme.com/gpu=9")
ENGINE = ("--root", "/r", "--log", "{log}", "--log-format", "json")


def executed(*args: str, read: tuple[str, ...] = (), name: str = "runc") -> Outcome:
    """Nothing said by us, and the runtime's own status and words."""
    return Outcome(7, list(read), [f"ROOT/{name}", *args], "out\n", "err\n", "")


def refused(message: str, *, read: tuple[str, ...] = (), log: bool = True) -> Outcome:
    """Not executed; the same message on stderr and, as one line, in the runtime's log."""
    text = json.dumps(f"cdi-hook: {message}")
    line = f'{{"level":"error","msg":{text},"time":"TIME"}}\n' if log else ""
    return Outcome(1, list(read), None, "", f"cdi-hook: {message}\n", line)


def fill(wrapper: Wrapper, args: tuple[str, ...]) -> list[str]:
    return [arg.format(log=wrapper.log, bundle=wrapper.bundle) for arg in args]


def shown(wrapper: Wrapper, args: list[str]) -> list[str]:
    return [wrapper.short(arg) for arg in args]


# --- every other subcommand goes straight to the runtime


OTHERS = [
    (*ENGINE, "start", "c1"),
    (*ENGINE, "state", "create"),
    (*ENGINE, "kill", "create", "9"),
    (*ENGINE, "kill", "--all", "run", "KILL"),
    (*ENGINE, "delete", "--force", "restore"),
    (*ENGINE, "exec", "--process", "{bundle}/config.json", "--detach", "create"),
    (*ENGINE, "ps", "--format", "json", "c1"),
    (*ENGINE, "update", "--resources", "-", "c1"),
    ("--log", "create", "--root", "run", "state", "c1"),
    ("--log=create", "pause", "c1"),
    ("--version",),
    ("features",),
    (),
    ("spec", "--bundle", "{bundle}"),
    ("--systemd-cgroup", "--debug", "list"),
]


@pytest.mark.parametrize("args", OTHERS, ids=" ".join)
@pytest.mark.parametrize("fault", ["none", "settings"])
def test_other_subcommands(wrapper: Wrapper, args: tuple[str, ...], fault: str) -> None:
    wrapper.write(UNKNOWN)
    wrapper.write(UNKNOWN, wrapper.cwd / "config.json")
    if fault == "settings":
        wrapper.set(f"runtime: {wrapper.runtime}\nnonsense: true\n")
    given = fill(wrapper, args)
    assert wrapper(*given) == executed(*shown(wrapper, given))
    assert wrapper.is_untouched()


# --- create, run and restore


CREATES = [
    ("create", "--bundle", "{bundle}", "--pid-file", "/p", "c1"),
    ("create", "--bundle={bundle}", "create"),
    ("create", "-b", "{bundle}", "c1"),
    ("create", "-bundle", "{bundle}", "c1"),
    ("run", "--detach", "--bundle", "{bundle}", "run"),
    ("restore", "--image-path", "/i", "--bundle", "{bundle}", "c1"),
]
READ = ("ROOT/bundle/config.json",)


class Row(NamedTuple):
    config: Config | str | None
    after: Config | None
    """The config afterwards; None: untouched."""
    message: str = ""
    """What is said instead of executing."""


ROWS = {
    "nothing asked for": Row(NOTHING, None),
    "a device": Row(GPU, EDITED),
    "a device, for the second time": Row(EDITED, None),
    "a sandbox": Row(asking("acme.com/gpu=0", annotations={"io.kubernetes.cri.container-type": "sandbox"}), None),
    "no config": Row(None, None),
    "bad JSON that asks for nothing": Row("{", None),
    "a name that is none": Row(
        asking("gpu"),
        None,
        'ROOT/bundle/config.json: annotations["cdi.k8s.io/test"]: "gpu" is not a whole device name; write vendor.com/class=device',
    ),
    "bad JSON that asks": Row('{"cdi.k8s.io/x" 1}', None, "ROOT/bundle/config.json:1: is not JSON: expecting ':' delimiter (column 17)"),
    "duplicate keys": Row(
        '{"a":1,"a":2,"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"}}',
        None,
        "ROOT/bundle/config.json: is not plain JSON: the key 'a' stands twice in one object",
    ),
    "a malformed config": Row(
        asking("acme.com/gpu=0", process=[]),
        None,
        "ROOT/bundle/config.json: process: is of type list, not an object; the engine that wrote this config must mend it",
    ),
    "a device that nobody knows": Row(UNKNOWN, None, "acme.com/gpu=9 is not known; near names: acme.com/gpu=0; searched: ROOT/specs"),
}


EVERY_SPELLING = ("nothing asked for", "a device", "a device that nobody knows")


@pytest.mark.parametrize(
    ("args", "name"),
    [
        pytest.param(args, name, id=f"{name}: {' '.join(args)}")
        for name in ROWS
        for args in (CREATES if name in EVERY_SPELLING else CREATES[:1])
    ],
)
def test_creates(wrapper: Wrapper, args: tuple[str, ...], name: str) -> None:
    row = ROWS[name]
    if row.config is not None:
        wrapper.write(row.config)
    given = fill(wrapper, (*ENGINE, *args))
    outcome = wrapper(*given)
    assert outcome == (refused(row.message, read=READ) if row.message else executed(*shown(wrapper, given), read=READ))
    if row.after is not None:
        assert (wrapper.config(), os.listdir(wrapper.bundle)) == (row.after, ["config.json"])
        # What was written is what a retry leaves alone.
        os.utime(wrapper.bundle / "config.json", ns=(10**18, 10**18))
        assert wrapper(*given) == outcome
    if row.config is not None:
        assert wrapper.is_untouched()
    else:
        assert os.listdir(wrapper.bundle) == []


CREATE = (*ENGINE, "create", "--bundle", "{bundle}", "c1")
SETTINGS_FAULT = "ROOT/config.yaml:2: nonsense: is not known"


@pytest.mark.parametrize("args", CREATES, ids=" ".join)
def test_creates_with_a_settings_error(wrapper: Wrapper, args: tuple[str, ...]) -> None:
    wrapper.write(GPU)
    wrapper.set(f"runtime: {wrapper.runtime}\nnonsense: true\n")
    outcome = wrapper(*fill(wrapper, (*ENGINE, *args)))
    assert outcome == refused(outcome.stderr[len("cdi-hook: ") : -1])
    assert outcome.stderr.startswith("cdi-hook: ROOT/config.yaml:2: nonsense: ")
    assert wrapper.is_untouched()


def test_creates_when_disabled(wrapper: Wrapper) -> None:
    wrapper.write(UNKNOWN)
    wrapper.set(f"runtime: {wrapper.runtime}\nenabled: false\n")
    given = fill(wrapper, CREATE)
    assert wrapper(*given) == executed(*shown(wrapper, given))
    assert wrapper.is_untouched()


def test_keeps_mode_and_owner(wrapper: Wrapper) -> None:
    wrapper.write(GPU)
    config = wrapper.bundle / "config.json"
    config.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(config, 12, 34)
    before = config.stat()
    wrapper(*fill(wrapper, CREATE))
    after = config.stat()
    assert wrapper.config() == EDITED
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)


def test_a_bundle_without_an_option_is_the_cwd(wrapper: Wrapper) -> None:
    wrapper.write(GPU, wrapper.cwd / "config.json")
    assert wrapper("run", "c1") == executed("run", "c1", read=("config.json",))
    assert json.loads((wrapper.cwd / "config.json").read_text()) == EDITED


def test_a_given_bundle_beats_the_cwd(wrapper: Wrapper) -> None:
    """containerd's cwd is the sandbox's bundle."""
    wrapper.write(GPU, wrapper.cwd / "config.json")
    wrapper.write(NOTHING)
    given = fill(wrapper, CREATE)
    assert wrapper(*given) == executed(*shown(wrapper, given), read=READ)
    assert wrapper.is_untouched(wrapper.cwd / "config.json")


# --- the process that becomes the runtime


def test_stdin_descriptors_and_cwd_are_left_alone(wrapper: Wrapper) -> None:
    wrapper.write(GPU)
    wrapper.program("runc", f"pwd >{wrapper.root}/pwd; cat >{wrapper.root}/stdin; ls /proc/$$/fd >{wrapper.root}/fds")
    assert wrapper(*fill(wrapper, CREATE), stdin=b"from the engine").status == 7
    assert (wrapper.root / "stdin").read_bytes() == b"from the engine"
    assert (wrapper.root / "pwd").read_text() == f"{wrapper.cwd}\n"
    # 10 is the shell's own, for its script.
    assert [fd for fd in (wrapper.root / "fds").read_text().split() if int(fd) < 10] == ["0", "1", "2", "3"]


def test_the_runtime_is_called_by_its_configured_name(wrapper: Wrapper) -> None:
    """krun is a link to crun, and is chosen by its name."""
    wrapper.program("crun")
    (wrapper.root / "krun").symlink_to("crun")
    wrapper.set(f"runtime: {wrapper.root}/krun\nspecDirs: [{wrapper.world.specs}]\n")
    wrapper.write(GPU)
    assert wrapper("create", f"-b{wrapper.bundle}", "c1") == executed("create", "-bROOT/bundle", "c1", read=READ, name="krun")
    assert wrapper.config() == EDITED


# --- the runtime


FIX = "set runtime: to the path of runc or crun"
FIX_EXEC = "set runtime: to the absolute path of runc or crun"


@pytest.mark.parametrize("kind", ["missing", "not executable", "directory"])
def test_a_runtime_that_cannot_be_executed_is_found_before_anything_is_written(wrapper: Wrapper, kind: str) -> None:
    wrapper.write(GPU)
    wrapper.runtime.unlink()
    if kind == "not executable":
        wrapper.runtime.write_text("#!/bin/sh\n")
    elif kind == "directory":
        wrapper.runtime.mkdir()
    words = "does not exist" if kind == "missing" else "is not an executable file"
    assert wrapper(*fill(wrapper, CREATE)) == refused(f"ROOT/runc: runtime: {words}; {FIX}", read=READ)
    assert wrapper.is_untouched()


def test_a_runtime_that_cannot_be_executed_after_all_gets_the_old_bytes_back(wrapper: Wrapper) -> None:
    wrapper.write(GPU)
    before = (wrapper.bundle / "config.json").read_bytes()
    wrapper.runtime.write_text("")
    assert wrapper(*fill(wrapper, CREATE)) == refused(f"ROOT/runc: runtime: cannot be executed: Exec format error; {FIX_EXEC}", read=READ)
    assert ((wrapper.bundle / "config.json").read_bytes(), os.listdir(wrapper.bundle)) == (before, ["config.json"])


@pytest.mark.parametrize("args", [CREATE, (*ENGINE, "kill", "c1", "9")], ids=["create", "kill"])
@pytest.mark.parametrize("kind", ["itself", "a link", "a link to a link", "none on PATH", "itself on PATH alone"])
def test_no_real_runtime(wrapper: Wrapper, kind: str, args: tuple[str, ...]) -> None:
    """Refused at once, and seen where the engine looks."""
    wrapper.write(GPU)
    ours = wrapper.program("cdi-runtime")
    link = wrapper.root / "link"
    link.symlink_to(ours)
    (wrapper.root / "far").symlink_to(link)
    path = {"itself": ours, "a link": link, "a link to a link": wrapper.root / "far"}.get(kind)
    wrapper.set(f"runtime: {path}\n" if path else "enabled: true\n")
    message = f"{path}: runtime: leads back to this wrapper; name the real runtime, such as runc"
    if path is None:
        directory = wrapper.root / "path"
        directory.mkdir()
        if kind == "itself on PATH alone":
            (directory / "runc").symlink_to(ours)
        wrapper.environ[b"PATH"] = b"relative::" + bytes(directory)
        message = f"runtime: neither runc nor crun is on PATH (relative::{directory}); install one, or set runtime: to its absolute path"
    assert wrapper(*fill(wrapper, args), self_path=str(ours)) == refused(wrapper.short(message))
    assert wrapper.is_untouched()


def test_the_first_runtime_on_path_that_is_not_ourselves(wrapper: Wrapper) -> None:
    ours = wrapper.program("cdi-runtime")
    for name in ("one", "two"):
        (wrapper.root / name).mkdir()
    (wrapper.root / "one" / "runc").symlink_to(ours)
    wrapper.program("two/crun")
    wrapper.set("enabled: true\n")
    wrapper.environ[b"PATH"] = f"{wrapper.root}/one:{wrapper.root}/two".encode()
    assert wrapper("state", "c1", self_path=str(ours)) == executed("state", "c1", name="two/crun")
    wrapper.program("two/runc")
    assert wrapper("state", "c1", self_path=str(ours)) == executed("state", "c1", name="two/runc")


# --- the settings file


def test_a_link_reads_the_settings_of_its_name(wrapper: Wrapper) -> None:
    directory = wrapper.root / "etc"
    directory.mkdir()
    wrapper.patch.setattr(values, "DIRECTORY", str(directory))
    del wrapper.environ[b"CDI_HOOK_CONFIG"]
    wrapper.program("crun")
    (directory / "gpu.yaml").write_text(f"runtime: {wrapper.root}/crun\n")
    (directory / "config.yaml").write_text(f"runtime: {wrapper.runtime}\n")
    assert wrapper("state", "c1", self_path="/opt/bin/cdi-runtime-gpu") == executed("state", "c1", name="crun")
    assert wrapper("state", "c1") == executed("state", "c1")
    wrapper.environ[b"CDI_HOOK_CONFIG"] = bytes(directory / "config.yaml")
    assert wrapper("state", "c1", self_path="/opt/bin/cdi-runtime-gpu") == executed("state", "c1")


def test_a_named_settings_file_that_is_missing(wrapper: Wrapper) -> None:
    wrapper.write(GPU)
    wrapper.settings.unlink()
    wrapper.environ[b"PATH"] = bytes(wrapper.root)
    given = fill(wrapper, (*ENGINE, "kill", "c1", "9"))
    assert wrapper(*given) == executed(*shown(wrapper, given))
    fix = "mend it, or point CDI_HOOK_CONFIG to another"
    assert wrapper(*fill(wrapper, CREATE)) == refused(f"ROOT/config.yaml: settings file does not exist; {fix}")


# --- arguments that can be read in more than one way


AMBIGUOUS = ("create", "--shiny", "--bundle", "{bundle}", "c1")
"""``--shiny`` is a flag and the bundle is given, or it takes ``--bundle`` and the bundle is the cwd."""


@pytest.mark.parametrize(
    ("in_bundle", "in_cwd", "refused_for"),
    [
        pytest.param(NOTHING, None, None, id="no request"),
        pytest.param(NOTHING, NOTHING, None, id="no request in either"),
        pytest.param(None, None, None, id="no config"),
        pytest.param(GPU, None, "bundle/config.json", id="a request in one"),
        pytest.param(NOTHING, GPU, "cwd", id="a request in the other"),
        pytest.param(GPU, GPU, "bundle/config.json", id="a request in both"),
    ],
)
def test_readings_that_disagree(wrapper: Wrapper, in_bundle: Config | None, in_cwd: Config | None, refused_for: str | None) -> None:
    if in_bundle is not None:
        wrapper.write(in_bundle)
    if in_cwd is not None:
        wrapper.write(in_cwd, wrapper.cwd / "config.json")
    given = fill(wrapper, (*ENGINE, *AMBIGUOUS))
    outcome = wrapper(*given)
    if refused_for is None:
        assert outcome._replace(read=[]) == executed(*shown(wrapper, given))
        assert sorted(outcome.read) == ["ROOT/bundle/config.json", "config.json"]
    else:
        file = "config.json" if refused_for == "cwd" else "ROOT/bundle/config.json"
        fix = "tell us whether it takes a value: report it with the runtime's version"
        message = f"{file}: asks for devices, but the option --shiny leaves open which bundle is meant; {fix}"
        assert outcome._replace(read=[]) == refused(message)
    for directory, config in ((wrapper.bundle, in_bundle), (wrapper.cwd, in_cwd)):
        if config is not None:
            assert wrapper.is_untouched(directory / "config.json")


@pytest.mark.parametrize(
    "args", [("create", "--bundle", "{bundle}", "--shiny", "c1"), ("create", "--shiny=x", "--bundle", "{bundle}", "c1")], ids=" ".join
)
def test_readings_that_agree_in_the_bundle(wrapper: Wrapper, args: tuple[str, ...]) -> None:
    wrapper.write(GPU)
    given = fill(wrapper, (*ENGINE, *args))
    assert wrapper(*given) == executed(*shown(wrapper, given), read=READ)
    assert wrapper.config() == EDITED


@pytest.mark.parametrize("link", [False, True], ids=["the bundle is the cwd", "a link to the cwd"])
def test_readings_that_mean_the_same_file(wrapper: Wrapper, link: bool) -> None:
    """CRI-O and podman build start the runtime in the bundle itself."""
    wrapper.cwd.rmdir()
    if link:
        wrapper.cwd.symlink_to("bundle")
    else:
        wrapper.cwd = wrapper.bundle
    wrapper.write(GPU)
    given = fill(wrapper, (*ENGINE, *AMBIGUOUS))
    outcome = wrapper(*given)
    assert outcome._replace(read=[]) == executed(*shown(wrapper, given))
    assert wrapper.config() == EDITED


@pytest.mark.parametrize("fault", ["none", "settings"])
def test_a_kill_is_not_refused_for_an_unknown_option(wrapper: Wrapper, fault: str) -> None:
    """Read as ``--shiny kill`` it would create the container ``create``."""
    if fault == "settings":
        wrapper.set(f"runtime: {wrapper.runtime}\nnonsense: true\n")
    outcome = wrapper("--shiny", "kill", "create", "9")
    assert outcome._replace(read=[]) == executed("--shiny", "kill", "create", "9")


# --- crun


def test_crun_with_another_config(wrapper: Wrapper) -> None:
    wrapper.program("crun")
    wrapper.set(f"runtime: {wrapper.root}/crun\nspecDirs: [{wrapper.world.specs}]\n")
    wrapper.write(UNKNOWN)
    (wrapper.root / "other").mkdir()
    other = wrapper.root / "other" / "my.json"
    wrapper.write(GPU, other)
    given = ["run", "-f", str(other), "--bundle", str(wrapper.bundle), "c1"]
    assert wrapper(*given) == executed(*shown(wrapper, given), read=("ROOT/other/my.json",), name="crun")
    assert json.loads(other.read_text()) == EDITED
    assert (os.listdir(other.parent), wrapper.is_untouched()) == (["my.json"], True)


# --- the failure line


@pytest.mark.parametrize("scheme", ["", "file:"])
@pytest.mark.parametrize("log_format", [None, "text", "json"])
def test_the_log_has_the_runtimes_form(wrapper: Wrapper, scheme: str, log_format: str | None) -> None:
    wrapper.write(UNKNOWN)
    form = [] if log_format is None else [f"--log-format={log_format}"]
    outcome = wrapper(f"--log={scheme}{wrapper.log}", *form, "create", "--bundle", str(wrapper.bundle), "c1")
    message = json.dumps(f"cdi-hook: {ROWS['a device that nobody knows'].message}")
    line = f'{{"level":"error","msg":{message},"time":"TIME"}}\n' if log_format == "json" else f'time="TIME" level=error msg={message}\n'
    assert (outcome.status, outcome.executed, outcome.log) == (1, None, line)


def test_no_log(wrapper: Wrapper) -> None:
    wrapper.write(UNKNOWN)
    outcome = wrapper("create", "--bundle", str(wrapper.bundle), "c1")
    assert outcome == refused(ROWS["a device that nobody knows"].message, read=READ, log=False)


def test_a_log_that_is_a_fifo_does_not_block(wrapper: Wrapper) -> None:
    wrapper.write(UNKNOWN)
    os.mkfifo(wrapper.log)
    outcome = wrapper(*fill(wrapper, CREATE))
    assert outcome == refused(ROWS["a device that nobody knows"].message, read=READ, log=False)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.message])
def test_messages_avoid_the_words_that_podman_rewrites(wrapper: Wrapper, name: str) -> None:
    assert not re.search("no such file or directory|permission denied|operation not permitted", ROWS[name].message, re.IGNORECASE)


# --- what nobody expects


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(RuntimeError("one\ntwo"), "RuntimeError: one\\ntwo", id="an error of ours"),
        pytest.param(FileNotFoundError(2, "No such file or directory", "/x"), None, id="of the kernel"),
        pytest.param(MemoryError(), "MemoryError: ", id="no memory"),
        pytest.param(KeyboardInterrupt(), "KeyboardInterrupt: ", id="interrupted"),
    ],
)
def test_an_internal_error_is_one_line_and_no_traceback(wrapper: Wrapper, error: BaseException, words: str | None) -> None:
    wrapper.write(GPU)

    def fail(*args: Any, **more: Any) -> Any:
        raise error

    wrapper.patch.setattr(plan, "edit", fail)
    outcome = wrapper(*fill(wrapper, CREATE))
    assert (outcome.status, outcome.executed, wrapper.is_untouched()) == (1, None, True)
    assert outcome.stderr.startswith("cdi-hook: internal error, please report it: ")
    assert (len(outcome.stderr.splitlines()), len(outcome.log.splitlines())) == (1, 1)
    assert words is None or outcome.stderr == f"cdi-hook: internal error, please report it: {words}\n"
    assert "no such file or directory" not in outcome.stderr.lower()


@pytest.mark.parametrize("call", ["write_config", "check_executable"])
def test_a_bundle_that_cannot_be_written(wrapper: Wrapper, call: str) -> None:
    wrapper.write(GPU)

    def fail(*args: Any) -> None:
        raise BundleError("cannot be replaced: the disk is full", file="/b/config.json")

    wrapper.patch.setattr(bundle, call, fail)
    assert wrapper(*fill(wrapper, CREATE)) == refused("/b/config.json: cannot be replaced: the disk is full", read=READ)
    assert wrapper.is_untouched()


def test_an_index_that_cannot_be_written_is_no_error(wrapper: Wrapper) -> None:
    wrapper.patch.setattr(memory, "SYSTEM_HOME", "/proc/none")
    wrapper.write(GPU)
    given = fill(wrapper, CREATE)
    assert wrapper(*given) == executed(*shown(wrapper, given), read=READ)


def test_warnings_go_to_our_own_log_alone(wrapper: Wrapper) -> None:
    file = wrapper.root / "ours.log"
    wrapper.world.spec("acme.com/old", {"0": {"env": ["OLD=1"], "hooks": [{"hookName": "prestart", "path": "/gone"}]}})
    wrapper.set(f"runtime: {wrapper.runtime}\nspecDirs: [{wrapper.world.specs}]\nstale: warn\nlog:\n  file: {file}\n")
    wrapper.write(asking("acme.com/old=0"))
    given = fill(wrapper, CREATE)
    assert wrapper(*given) == executed(*shown(wrapper, given), read=READ)
    (line,) = file.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["level"], "/gone does not exist on this host" in entry["msg"]) == ("warning", True)


def test_called_without_anything(wrapper: Wrapper) -> None:
    """An engine that gives not even argv[0]."""
    assert main([]) == 1


@pytest.mark.parametrize("change", ["the request is gone", "the file is gone"])
def test_a_config_that_changes_after_the_launcher_has_seen_a_request(wrapper: Wrapper, change: str) -> None:
    wrapper.patch.setattr(sys, "_xoptions", {"cdi_seen": True})
    if change == "the request is gone":
        wrapper.write(NOTHING)
    else:
        (wrapper.bundle / "config.json").unlink(missing_ok=True)
    words = "ROOT/bundle/config.json: has changed since it was first looked at, and asked for devices then; try again"
    assert wrapper(*fill(wrapper, CREATE)) == refused(words, read=READ)
    wrapper.write(GPU)
    given = fill(wrapper, CREATE)
    assert wrapper(*given) == executed(*shown(wrapper, given), read=READ)
