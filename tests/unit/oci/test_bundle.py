"""The last steps of an entry point: read and replace the config, become the runtime, or say why not."""

from __future__ import annotations

import errno
import json
import os
import posix
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cdi_hook.errors import BundleError, RuntimeNotFoundError
from cdi_hook.oci import bundle
from cdi_hook.settings import values

ROOT = Path(__file__).parents[3]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


def config_file(tmp_path: Path, data: bytes = b'{"old":1}', mode: int = 0o644) -> Path:
    config = tmp_path / "config.json"
    config.write_bytes(data)
    config.chmod(mode)
    return config


# --- reading


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 70_000, b"\xff\x00" * 200_000], ids=["empty", "small", "two blocks", "large"])
def test_read_config_gives_the_bytes_and_the_stat(tmp_path: Path, data: bytes) -> None:
    config = config_file(tmp_path, data)
    read = bundle.read_config(str(config))
    assert read is not None
    assert (read[0], read[1].st_ino, read[1].st_size) == (data, config.stat().st_ino, len(data))


def test_read_config_reads_what_grew_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_file(tmp_path, b"a" * 10)
    real = posix.fstat

    def grow(fd: int) -> os.stat_result:
        found = real(fd)
        with config.open("ab") as file:
            file.write(b"b" * 200_000)
        return found

    monkeypatch.setattr(posix, "fstat", grow)
    read = bundle.read_config(str(config))
    assert read is not None
    assert read[0] == b"a" * 10 + b"b" * 200_000


@pytest.mark.parametrize("kind", ["nothing", "directory", "fifo", "device", "dangling link", "below a file", "NUL", "too long"])
def test_read_config_leaves_what_is_no_file_to_the_runtime(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    text = {"device": "/dev/zero", "below a file": f"{__file__}/config.json", "NUL": "a\0b", "too long": "/" + "a" * 5000}.get(
        kind, str(path)
    )
    before = os.listdir("/proc/self/fd")
    assert bundle.read_config(text) is None
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("call", ["open", "fstat", "read"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE, errno.EPERM])
def test_read_config_that_fails_is_no_config_without_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """The runtime may be able to read it in the next moment."""
    config = config_file(tmp_path)

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(posix, call, fail)
    with pytest.raises(BundleError) as caught:
        bundle.read_config(str(config))
    assert str(caught.value).startswith(f"{config}: cannot be read: ")
    assert str(caught.value).endswith("; nothing is started, since it may ask for devices; try again")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG])
def test_read_config_that_the_runtime_cannot_open_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(posix, "open", fail)
    assert bundle.read_config(str(tmp_path / "config.json")) is None


# --- replacing


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o640, 0o4755, 0o666])
def test_write_config_keeps_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    config = config_file(tmp_path, mode=mode)
    old = os.umask(0o077)
    try:
        bundle.write_config(str(config), b"new", config.stat())
    finally:
        os.umask(old)
    assert (config.read_bytes(), stat.S_IMODE(config.stat().st_mode), os.listdir(tmp_path)) == (b"new", mode, ["config.json"])


@NEEDS_ROOT
def test_write_config_keeps_owner_and_set_id_bits(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    os.chown(config, 1234, 4321)
    config.chmod(0o4711)
    bundle.write_config(str(config), b"new", config.stat())
    found = config.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o4711)


def test_write_config_is_a_rename(tmp_path: Path) -> None:
    """Whoever has the old file open keeps the old bytes: it is old or new, never half."""
    config = config_file(tmp_path, b"old bytes")
    with config.open("rb") as opened:
        bundle.write_config(str(config), b"new", config.stat())
        assert (opened.read(), config.read_bytes()) == (b"old bytes", b"new")


def test_write_config_by_a_name_without_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    bundle.write_config("config.json", b"new", config.stat())
    assert (config.read_bytes(), os.listdir(tmp_path)) == (b"new", ["config.json"])


def test_write_config_keeps_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    config = config_file(tmp_path / "far")
    link = tmp_path / "config.json"
    link.symlink_to("far/config.json")
    bundle.write_config(str(link), b"new", config.stat())
    assert (os.readlink(link), config.read_bytes(), os.listdir(tmp_path / "far")) == ("far/config.json", b"new", ["config.json"])


@pytest.mark.parametrize("kind", ["longer left-over", "read-only left-over", "link", "dangling link", "fifo", "hard link"])
def test_write_config_is_not_led_astray_by_what_has_its_temporary_name(tmp_path: Path, kind: str) -> None:
    config = config_file(tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    temporary = tmp_path / bundle.TEMPORARY
    if kind == "longer left-over":
        temporary.write_bytes(b"x" * 5000)
    elif kind == "read-only left-over":
        temporary.write_bytes(b"x")
        temporary.chmod(0)
    elif kind == "fifo":
        os.mkfifo(temporary)
    elif kind == "hard link":
        os.link(victim, temporary)
    else:
        temporary.symlink_to("victim" if kind == "link" else "nowhere")
    bundle.write_config(str(config), b"new", config.stat())
    assert (config.read_bytes(), config.is_symlink(), victim.read_bytes()) == (b"new", False, b"precious")
    assert sorted(os.listdir(tmp_path)) == ["config.json", "victim"]


def test_write_config_writes_all_of_it_by_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_file(tmp_path)
    real = posix.write
    monkeypatch.setattr(posix, "write", lambda fd, data: real(fd, bytes(data[:7])))
    bundle.write_config(str(config), b"0123456789" * 10, config.stat())
    assert config.read_bytes() == b"0123456789" * 10


@pytest.mark.parametrize("call", ["write", "fchmod", "rename"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "access is refused"),
        (errno.EPERM, "the kernel does not allow it"),
    ],
)
def test_write_config_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
) -> None:
    config = config_file(tmp_path)
    before = config.stat()

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(posix, call, fail)
    with pytest.raises(BundleError) as caught:
        bundle.write_config(str(config), b"new", before)
    assert str(caught.value) == f"{config}: cannot be replaced: {words}; the bundle must be writable by the runtime"
    assert (config.read_bytes(), os.listdir(tmp_path)) == (b'{"old":1}', ["config.json"])
    assert (config.stat().st_ino, config.stat().st_mode, config.stat().st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


def test_write_config_that_is_interrupted_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_file(tmp_path)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(posix, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bundle.write_config(str(config), b"new", config.stat())
    assert (config.read_bytes(), os.listdir(tmp_path)) == (b'{"old":1}', ["config.json"])


def test_write_config_whose_directory_is_gone(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    before = config.stat()
    config.unlink()
    with pytest.raises(BundleError) as caught:
        bundle.write_config(str(config), b"new", before)
    assert str(caught.value) == f"{config}: cannot be replaced: does not exist; the bundle must be writable by the runtime"
    assert os.listdir(tmp_path) == []


# --- the real runtime


def test_check_executable(tmp_path: Path) -> None:
    runtime = tmp_path / "runc"
    fix = "set runtime: to the path of runc or crun"

    def message() -> str:
        try:
            bundle.check_executable(str(runtime))
        except RuntimeNotFoundError as error:
            return str(error)
        return ""

    assert message() == f"{runtime}: runtime: does not exist; {fix}"
    runtime.write_text("#!/bin/sh\n")
    runtime.chmod(0o644)
    assert message() == f"{runtime}: runtime: is not an executable file; {fix}"
    runtime.chmod(0o755)
    assert message() == ""
    runtime.unlink()
    runtime.mkdir()
    assert message() == f"{runtime}: runtime: is not an executable file; {fix}"
    with pytest.raises(RuntimeNotFoundError, match=f"^a\\\\x00b: runtime: is not a path; {fix}$"):
        bundle.check_executable("a\0b")


def become(program: str, *args: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run ``bundle.execute`` as the wrapper would, in a fresh interpreter started as the launcher starts it."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.oci import bundle; bundle.execute({program!r}, sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, *args],
        env=env,
        input=b"from the engine",
        capture_output=True,
        timeout=30,
        check=False,
    )


def environment(data: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in data.decode().splitlines())


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="empty"),
        pytest.param({"PATH": "/bin", "LD_LIBRARY_PATH": "/opt/lib:", "PYTHONPATH": "/x", "PYTHONHOME": "/y"}, id="an engine's"),
        pytest.param({"LANG": "C"}, id="LANG"),
        pytest.param({"LC_ALL": "C"}, id="LC_ALL"),
        pytest.param({"LC_CTYPE": "C"}, id="LC_CTYPE is C"),
        pytest.param({"LC_CTYPE": "POSIX"}, id="LC_CTYPE is POSIX"),
        pytest.param({"LC_CTYPE": ""}, id="LC_CTYPE is empty"),
        pytest.param({"LC_CTYPE": "xx_YY.nonsense"}, id="LC_CTYPE is an unknown locale"),
        pytest.param({"LC_CTYPE": "C.UTF-8"}, id="LC_CTYPE is what Python would set"),
        pytest.param({"LC_CTYPE": "C.UTF-8", "LC_ALL": "C"}, id="LC_CTYPE below LC_ALL"),
    ],
)
def test_execute_leaves_the_environment_alone(env: dict[str, str]) -> None:
    done = become("/usr/bin/env", env=env)
    assert (done.returncode, done.stderr, environment(done.stdout)) == (0, b"", env)


def test_execute_hands_over_arguments_untouched(tmp_path: Path) -> None:
    show = tmp_path / "runc"
    show.write_text('#!/bin/sh\nprintf "[%s]" "$0" "$@"\n')
    show.chmod(0o755)
    link = tmp_path / "krun"
    link.symlink_to("runc")
    odd = os.fsdecode(b"a\xffb")
    done = become(str(link), "create", "", "a b", "*", "ü", odd, "--", env={})
    # The name by which it is called is the configured one, not what it links to.
    assert done.stdout == b"[%s][create][][a b][*][\xc3\xbc][a\xffb][--]" % os.fsencode(link)
    assert (done.returncode, done.stderr) == (0, b"")


def test_execute_leaves_stdin_descriptors_cwd_and_signals_alone(tmp_path: Path) -> None:
    status = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; echo; ls -l /proc/self/fd | wc -l; pwd; cat"
    plain = subprocess.run(["/bin/sh", "-c", status], env={}, input=b"from the engine", capture_output=True, timeout=30, check=False)
    show = tmp_path / "show"
    show.write_text(f"#!/bin/sh\n{status}\n")
    show.chmod(0o755)
    assert become(str(show), env={}).stdout == plain.stdout


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        pytest.param(None, 0, "does not exist", id="missing"),
        pytest.param("#!/bin/sh\n", 0o644, "access is refused", id="not executable"),
        pytest.param("", 0o755, "Exec format error", id="of no format"),
        pytest.param("#!/no/such/interpreter\n", 0o755, "does not exist", id="interpreter missing"),
    ],
)
def test_execute_that_fails(tmp_path: Path, content: str | None, mode: int, words: str) -> None:
    runtime = tmp_path / "runc"
    if content is not None:
        runtime.write_text(content)
        runtime.chmod(mode)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.oci import bundle; from cdi_hook.errors import CdiError\n"
        "try: bundle.execute(sys.argv[1], [])\n"
        "except CdiError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(runtime)], capture_output=True, text=True, timeout=30, check=False)
    fix = "set runtime: to the absolute path of runc or crun"
    assert done.stdout == f"RuntimeNotFoundError {runtime}: runtime: cannot be executed: {words}; {fix}\n"


# --- saying why not


def said(capfd: pytest.CaptureFixture[str], message: str, log: str = "", log_format: str = "") -> str:
    bundle.report(message, log, log_format)
    out, err = capfd.readouterr()
    assert out == ""
    return err


def test_report_on_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    assert said(capfd, "it is broken") == "cdi-hook: it is broken\n"


@pytest.mark.parametrize("scheme", ["", "file:"])
@pytest.mark.parametrize("log_format", ["json", "text", ""])
def test_report_appends_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], scheme: str, log_format: str) -> None:
    log = tmp_path / "log.json"
    log.write_text("before\n")
    assert said(capfd, 'it is "broken" — ü', f"{scheme}{log}", log_format) == 'cdi-hook: it is "broken" — ü\n'
    text = r'"cdi-hook: it is \"broken\" \u2014 \u00fc"'
    before, line = log.read_text().splitlines()
    found = re.fullmatch(
        rf'\{{"level":"error","msg":(.*),"time":"{TIME}"\}}' if log_format == "json" else rf'time="{TIME}" level=error msg=(.*)', line
    )
    assert before == "before"
    assert found is not None
    assert found[1] == text


def test_report_makes_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.json"
    said(capfd, "broken", str(log), "json")
    document = json.loads(log.read_text())
    assert list(document) == ["level", "msg", "time"]
    assert (document["level"], document["msg"], stat.S_IMODE(log.stat().st_mode) & 0o111) == ("error", "cdi-hook: broken", 0)


@pytest.mark.parametrize("log", ["journald:ident", "syslog:ident"])
def test_report_leaves_journal_and_syslog_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(capfd, "broken", log, "json") == "cdi-hook: broken\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["fifo nobody reads", "directory", "no directory", "full disk", "NUL"])
def test_report_when_the_log_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    log = str(tmp_path / "log")
    if kind == "fifo nobody reads":
        os.mkfifo(log)
    elif kind == "directory":
        os.mkdir(log)
    log = {"no directory": "/nowhere/log", "full disk": "/dev/full", "NUL": "a\0b"}.get(kind, log)
    assert said(capfd, "broken", log, "json") == "cdi-hook: broken\n"


def test_report_into_a_fifo_that_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        said(capfd, "broken", str(fifo), "json")
        assert json.loads(os.read(fd, 4096))["msg"] == "cdi-hook: broken"
    finally:
        os.close(fd)


def test_report_does_not_wait_for_a_full_fifo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(fd, b"x" * (16 << 20))  # as much as it takes
        thread = threading.Thread(target=bundle.report, args=("broken", str(fifo), "json"), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        os.close(fd)
    assert capfd.readouterr().err == "cdi-hook: broken\n"


def test_report_keeps_to_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    assert said(capfd, "two\nlines \udcff", str(log), "json") == "cdi-hook: two\\nlines \\udcff\n"
    assert len(log.read_text().splitlines()) == 1


def test_report_with_stderr_closed(tmp_path: Path) -> None:
    """The log still gets its line, and no descriptor that took the place of stderr gets the message."""
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.oci import bundle; os.close(2);"
        "bundle.report('broken', sys.argv[1], 'json')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, len((tmp_path / "log").read_text().splitlines())) == (0, b"", 1)


# --- our own log


@pytest.mark.parametrize(
    ("wanted", "level", "written"),
    [
        ("debug", "debug", True),
        ("info", "debug", False),
        ("info", "info", True),
        ("warning", "info", False),
        ("warning", "warning", True),
        ("error", "warning", False),
        ("error", "error", True),
    ],
)
def test_log_levels(tmp_path: Path, wanted: str, level: str, written: bool) -> None:
    file = tmp_path / "log"
    bundle.log({**values.DEFAULTS, "log.file": str(file), "log.level": wanted}, level, "message")
    assert file.exists() is written


def test_log_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for log_format in ("json", "text"):
        bundle.log({**values.DEFAULTS, "log.file": str(file), "log.format": log_format}, "warning", "two\nlines")
    first, second = file.read_text().splitlines()
    assert re.sub(TIME, "TIME", first) == '{"time":"TIME","level":"warning","msg":"two\\nlines"}'
    assert re.sub(TIME, "TIME", second) == "TIME warning two\\nlines"


@pytest.mark.parametrize("file", ["", "/nowhere/log", "/dev/full", "/"])
def test_log_that_cannot_be_written_is_no_error(file: str) -> None:
    bundle.log({**values.DEFAULTS, "log.file": file}, "error", "message")


def test_same_file(tmp_path: Path) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    one.touch()
    other.touch()
    link.symlink_to("one")
    assert [bundle.same_file(str(one), str(path)) for path in (one, link, other, tmp_path / "none")] == [True, True, False, False]
    assert bundle.same_file("a\0b", str(one)) is False
