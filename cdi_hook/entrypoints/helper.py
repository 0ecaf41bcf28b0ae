"""``cdi-hook helper``: the createContainer hooks that any vendor's spec may use. Row 6.

``create-symlinks``, ``update-ldcache`` and ``chmod`` take the arguments of ``nvidia-cdi-hook``'s commands of the same names, so that a
spec can be switched over by changing the hook's path. A runtime starts them in the container's namespaces before pivot_root(2), with
the container's state on standard input (runtime specification 1.3.0, "createContainer Hooks").
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from cdi_hook.errors import CdiError, internal, one_line
from cdi_hook.linux import syslog
from cdi_hook.oci import bundle, jsonio, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from cdi_hook.live.helpers import Container

FAIL, WARN = "fail", "warn"


class _Parser(argparse.ArgumentParser):
    """Raises CdiError for wrong arguments: nobody reads the usage of a hook, but everybody its last line."""

    def error(self, message: str) -> NoReturn:
        raise CdiError(message)


def main(argv: list[str]) -> int:
    """Do what one helper is for. ``argv``: ``helper`` and its arguments. Exit status 0: done, or failed with ``--on-error=warn``; 1."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # crun starts hooks with every signal blocked.
    best_effort = "--on-error=warn" in argv or any(pair == ("--on-error", WARN) for pair in zip(argv, argv[1:]))
    try:
        args = parser().parse_args(argv[1:])
        _do(args, container(args.container_spec))
        return 0
    except CdiError as error:
        message = str(error)
    except BaseException as error:  # no traceback ever reaches an engine's user
        if isinstance(error, SystemExit):
            raise
        message = internal(error)
    if best_effort:
        message = f"{message} (the container starts without it: --on-error=warn)"
    bundle.report(f"helper: {message}")
    syslog.send(one_line(message))
    return 0 if best_effort else 1


def parser() -> argparse.ArgumentParser:
    """The arguments of all helpers."""
    top = _Parser(prog="cdi-hook helper", description="createContainer hooks for any spec.", allow_abbrev=False)
    commands = top.add_subparsers(title="helpers", metavar="HELPER", dest="helper", required=True)

    links = commands.add_parser("create-symlinks", help="make symbolic links in the container", allow_abbrev=False)
    links.add_argument("--link", action="append", default=[], type=_pair, metavar="TARGET::PATH", help="text and path of a link")

    cache = commands.add_parser("update-ldcache", help="let the container's dynamic linker find libraries", allow_abbrev=False)
    cache.add_argument("--folder", action="append", default=[], metavar="DIR", help="a directory with libraries, in the container")
    cache.add_argument("--ldconfig-path", default="", metavar="PATH", help="the host's ldconfig, if not the usual one")

    modes = commands.add_parser("chmod", help="change permissions in the container", allow_abbrev=False)
    modes.add_argument("--mode", required=True, type=_mode, help="permission bits, octal")
    modes.add_argument("--path", action="append", default=[], metavar="PATH", help="a file or directory in the container")
    modes.add_argument("more", nargs="*", default=[], metavar="PATH", help="more of them")

    for one in (links, cache, modes):
        one.add_argument("--on-error", choices=(FAIL, WARN), default=FAIL, help="warn: start the container without it (default: fail)")
        one.add_argument("--container-spec", default="-", metavar="FILE", help="the container's state (default: standard input)")
    return top


def container(spec: str) -> Container:
    """The container of this state. Raises CdiError."""
    from cdi_hook.live.helpers import Container

    given = state.parse(state.read() if spec in ("", "-") else _file(spec))
    directory, config = state.read_bundle(given)
    return Container(os.path.normpath(state.rootfs(directory, config, given)))


def _file(path: str) -> bytes:
    read = bundle.read_config(path)
    if read is None:
        raise CdiError("cannot be read", file=path)
    return read[0]


def _do(args: Any, where: Container) -> None:
    from cdi_hook.live import helpers

    if args.helper == "create-symlinks":
        helpers.create_symlinks(where, args.link)
    elif args.helper == "update-ldcache":
        helpers.update_ldcache(where, args.folder, program=args.ldconfig_path.lstrip("@"))
    else:
        helpers.change_mode(where, args.mode, [*args.path, *args.more])


def _pair(text: str) -> tuple[str, str]:
    target, found, path = text.partition("::")
    if not found or not target or not path or "::" in path:
        raise argparse.ArgumentTypeError(f"{jsonio.dumps(text)} is not TARGET::PATH")
    return target, path


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise argparse.ArgumentTypeError(f"{jsonio.dumps(text)} is not a mode such as 0755")
    return mode


if __name__ == "__main__":
    sys.exit(main(["helper", *sys.argv[1:]]))
