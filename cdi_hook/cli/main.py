"""``cdi-hook COMMAND …``: the table of commands, and what every command has in common. Row 7, cold.

A command is a module of this package with ``HELP``, ``add_arguments(parser)`` and ``run(args) -> int``, and a row in `COMMANDS`. Only the
module that is asked for is imported.

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 could not tell (``--check``, ``doctor``).
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import sys

from cdi_hook import __version__
from cdi_hook.cli import output
from cdi_hook.errors import CdiError, FaultsError, one_line, os_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = "cdi-hook"

COMMANDS = (
    "devices",
    "kinds",
    "vendors",
    "classes",
    "specs",
    "inject",
    "resolve",
    "explain",
    "validate",
    "schema",
    "configure",
    "unconfigure",
    "doctor",
    "settings",
    "index",
    "completions",
)
"""Every command, in the order in which the help lists them; each is a module of this package."""

ENTRY_POINTS = {
    "createRuntime": "be the OCI hook createRuntime: the container's state on stdin",
    "helper": "be a createContainer hook that a spec names: create-symlinks, update-ldcache, chmod",
    "precreate": "be podman's precreate filter: the OCI config on stdin and stdout",
}
"""What ``__main__`` sends elsewhere before it comes to us; here for the help alone."""

_INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Run one command; returns the exit status. ``argv``: without the program's name. No traceback ever gets out."""
    _fill_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Paths are bytes, and the locale of a daemon may be C.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except CdiError as error:
        for fault in error.faults if isinstance(error, FaultsError) else [error]:
            output.complain(str(fault))
            for line in fault.lines:
                print(line, file=sys.stderr)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        pass  # Whoever reads has seen enough.
    except RecursionError:
        output.complain("the input is nested too deeply")
    except OSError as error:
        output.complain(f"{os.fsdecode(error.filename)}: {os_words(error)}" if error.filename is not None else os_words(error))
    except Exception as error:
        _report_bug(error)
    _empty_output()
    return 1


def _fill_streams() -> None:
    """Put /dev/null where whoever started us left a standard stream closed.

    Else a file that we open would take its number, and Python print what is for standard error on standard output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open as long as we are


def _empty_output() -> None:
    """Print what is still buffered, or let it go: it must not fail again at exit, in Python's words and with its exit status."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help"):
        print(whole_parser().format_help(), end="")
        return 0
    if name in ("-V", "--version"):
        print(f"{PROGRAM} {__version__}")
        return 0
    if name not in COMMANDS:
        return _unknown(name)
    module = load(name)
    if module is None:
        raise CdiError(f"the command {name} is not in this installation", fix="install it again")
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=_sentence(module), allow_abbrev=False)
    module.add_arguments(parser)
    try:
        args = parser.parse_intermixed_args(argv[1:])
        # For what only the command can see to be wrong usage.
        args.usage = parser.error
        status: int = module.run(args)
    except SystemExit as end:  # argparse has printed the help, or what is wrong
        return end.code if isinstance(end.code, int) else 2
    return status


def load(name: str) -> ModuleType | None:
    """The module of a command; None when it is missing, so that the others still work."""
    module = f"{__package__}.{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise CdiError(f"the Python package {error.name} is missing", fix="install cdi-hook again, with its dependencies") from None
        return None


def whole_parser() -> argparse.ArgumentParser:
    """One parser with all commands, for the help and for completion; imports every command."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The tool around cdi-runtime: CDI devices for every OCI runtime.",
        epilog="Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 could not tell.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        module = load(name)
        if module is not None:
            one = commands.add_parser(name, help=module.HELP, description=_sentence(module), allow_abbrev=False)
            module.add_arguments(one)
    for name, words in ENTRY_POINTS.items():
        commands.add_parser(name, help=words, description=words)
    return parser


def _sentence(module: ModuleType) -> str:
    text: str = module.HELP
    return f"{text[:1].upper()}{text[1:]}."


def _unknown(name: str) -> int:
    if not name:
        output.complain(f"which command? {PROGRAM} --help lists them")
    elif name.startswith("-"):
        output.complain(f"no option {name} before the command; {PROGRAM} --help shows them")
    else:
        near = difflib.get_close_matches(name, [*COMMANDS, *ENTRY_POINTS], n=1)
        hint = f"do you mean {near[0]}? " if near else ""
        output.complain(f"no command {one_line(name)}; {hint}{PROGRAM} --help lists them")
    return 2


def _report_bug(error: Exception) -> None:
    """One line for the user; the traceback for whoever has set ``log.level: debug``, into the log or, without one, below."""
    output.complain(f"internal error, please report it: {type(error).__name__}: {error}")
    from cdi_hook.audit import log
    from cdi_hook.settings import values

    ours, _ = values.read(*values.locate(PROGRAM, os.environb))
    log.setup(ours).debug("internal error", exc_info=error)
    if ours["log.level"] == "debug" and not ours["log.file"]:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)
