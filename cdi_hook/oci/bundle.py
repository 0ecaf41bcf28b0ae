"""The last steps of an entry point: replace ``config.json``, hand over to the real runtime, or say why not. Row 2, hot.

Facts about engines and runtimes in here are those of ``docs/engines.md``: where a message is seen, and in what form.
"""

from __future__ import annotations

import errno
import posix

from cdi_hook import memory
from cdi_hook.errors import BundleError, RuntimeNotFoundError, one_line, os_words
from cdi_hook.oci.jsonio import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from cdi_hook.model import Settings

TEMPORARY = ".cdi-hook.config.json"
"""The one name of the temporary file, in the bundle, so that what a killed try leaves goes with the next."""

_THE_RUNTIME_MEETS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG)
_BLOCK = 1 << 16
_FIX_RUNTIME = "set runtime: to the absolute path of runc or crun"
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


def read_config(path: str) -> tuple[bytes, posix.stat_result] | None:
    """The bytes of a config and its stat; None when the real runtime will not be able to open it either, and says so in words that
    people know.

    Raises BundleError for any other failure: the runtime may read in the next moment what could not be read now, and start a container
    whose requests nobody has seen.
    """
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY)
    except OSError as error:
        if error.errno in _THE_RUNTIME_MEETS:
            return None
        raise _unread(path, error) from None
    except ValueError:
        return None  # A NUL, which no argument of a runtime can have.
    try:
        stat = posix.fstat(fd)
        if stat.st_mode & memory.S_IFMT != memory.S_IFREG:
            return None
        data = posix.read(fd, stat.st_size + 1)
        while True:
            more = posix.read(fd, _BLOCK)
            if not more:
                return data, stat
            data += more
    except OSError as error:
        raise _unread(path, error) from None
    finally:
        posix.close(fd)


def _unread(path: str, error: OSError) -> BundleError:
    reason = f"cannot be read: {os_words(error)}"
    return BundleError(reason, file=path, fix="nothing is started, since it may ask for devices; try again")


def write_config(path: str, data: bytes, stat: posix.stat_result) -> None:
    """Replace a config by rename, so that it is old or new and never half; mode and owner are those of ``stat``.

    A symbolic link stays one: what it points to is replaced. Raises BundleError; the old file is then untouched.
    """
    try:
        if posix.lstat(path).st_mode & memory.S_IFMT != memory.S_IFREG:
            path = _cold_real_path(path)
        directory, slash, _ = path.rpartition("/")
        temporary = directory + slash + TEMPORARY
        try:
            _write_file(temporary, data, stat)
            posix.rename(temporary, path)
        except BaseException:
            memory.remove(temporary)
            raise
    except OSError as error:
        raise BundleError(f"cannot be replaced: {os_words(error)}", file=path, fix="the bundle must be writable by the runtime") from None


def _write_file(path: str, data: bytes, stat: posix.stat_result) -> None:
    try:
        fd = memory.create(path)
    except FileExistsError:
        # Left by a killed try, or something else that has our name: it goes, and is never written through.
        posix.unlink(path)
        fd = memory.create(path)
    try:
        memory.write(fd, data)
        made = posix.fstat(fd)
        if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid):
            posix.fchown(fd, stat.st_uid, stat.st_gid)
        posix.fchmod(fd, stat.st_mode & 0o7777)
    finally:
        posix.close(fd)


def _cold_real_path(path: str) -> str:
    import os

    return os.path.realpath(path)


def check_executable(runtime: str) -> None:
    """Raises RuntimeNotFoundError when the real runtime cannot be started; asked before anything is written."""
    try:
        regular = posix.stat(runtime).st_mode & memory.S_IFMT == memory.S_IFREG
    except (OSError, ValueError) as error:
        words = os_words(error) if isinstance(error, OSError) else "is not a path"
        raise RuntimeNotFoundError(words, file=runtime, field="runtime", fix="set runtime: to the path of runc or crun") from None
    if not regular or not posix.access(runtime, posix.X_OK):
        raise RuntimeNotFoundError(
            "is not an executable file", file=runtime, field="runtime", fix="set runtime: to the path of runc or crun"
        )


def execute(runtime: str, argv: list[str]) -> NoReturn:
    """Become the real runtime: ``argv`` untouched behind its configured path, environment, descriptors and cwd as they came.

    What the interpreter changed of the process is put back: SIGPIPE and SIGXFSZ, which it ignores and which crun would hand on to
    the container, and ``LC_CTYPE``, which it sets under a C locale (PEP 538). Raises RuntimeNotFoundError when the kernel refuses.
    """
    import _signal  # type: ignore[import-not-found]  # built into the interpreter

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    if posix.environ.get(b"LC_CTYPE") in _COERCED:
        _restore_lc_ctype()
    try:
        posix.execv(runtime, [runtime, *argv])
    except OSError as error:
        raise RuntimeNotFoundError(f"cannot be executed: {os_words(error)}", file=runtime, field="runtime", fix=_FIX_RUNTIME) from None
    raise AssertionError("execv returned")


def _restore_lc_ctype() -> None:
    """Set it as it was in the environment that we were started with: the kernel still shows that one."""
    data = b"\0"
    try:
        fd = posix.open("/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            while True:
                more = posix.read(fd, _BLOCK)
                if not more:
                    break
                data += more
        finally:
            posix.close(fd)
    except OSError:
        return
    _, found, rest = data.partition(b"\0LC_CTYPE=")
    if found:
        posix.putenv(b"LC_CTYPE", rest.partition(b"\0")[0])
    else:
        posix.unsetenv(b"LC_CTYPE")


def report(message: str, log: str = "", log_format: str = "") -> None:
    """Say why the container does not start: on stderr, and as one line in the runtime's own log, where engines look.

    ``log``, ``log_format``: the values of ``--log`` and ``--log-format``. containerd and docker show the last line of level error of
    a JSON log and nothing else; CRI-O shows stderr; podman shows the log if it is one document, else stderr.
    """
    message = one_line(message)
    _append(f"cdi-hook: {message}\n".encode("utf-8", "backslashreplace"), 2)
    # crun takes a scheme before the path; what goes to the journal or to syslog has been said on stderr.
    path = log[len("file:") :] if log.startswith("file:") else log
    if not path or path.startswith(("journald:", "syslog:")):
        return
    text = quoted(f"cdi-hook: {message}")
    if log_format == "json":
        line = f'{{"level":"error","msg":{text},"time":"{now()}"}}\n'
    else:
        line = f'time="{now()}" level=error msg={text}\n'
    _append_to(path, line)


def _append_to(path: str, line: str) -> None:
    try:
        # Not to block on a FIFO that nobody reads.
        fd = posix.open(path, posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY, 0o644)
    except (OSError, ValueError):
        return
    try:
        _append(line.encode("utf-8", "backslashreplace"), fd)
    finally:
        posix.close(fd)


def _append(data: bytes, fd: int) -> None:
    try:
        posix.write(fd, data)
    except OSError:
        pass  # A full disk or a closed pipe must not hide the exit status.


_LEVELS = ("debug", "info", "warning", "error")


def log(settings: Settings, level: str, message: str) -> None:
    """One line in our own log, if the settings name a file and want this level; the same line as ``audit/log`` gives in cold modules.

    Never raises and never blocks: a log that cannot be written must not keep a container from starting.
    """
    path = settings["log.file"]
    if not path or _LEVELS.index(level) < _LEVELS.index(settings["log.level"]):
        return
    if settings["log.format"] == "json":
        line = f'{{"time":"{now()}","level":"{level}","msg":{quoted(message)}}}\n'
    else:
        line = f"{now()} {level} {one_line(message)}\n"
    _append_to(path, line)


def now() -> str:
    """The time as RFC 3339 in UTC, to the second."""
    import time  # built into the interpreter

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def same_file(left: str, right: str) -> bool:
    """Whether two paths lead to one file, through whatever links."""
    try:
        one, other = posix.stat(left), posix.stat(right)
    except (OSError, ValueError):
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
