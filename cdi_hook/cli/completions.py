"""``cdi-hook completions SHELL``: a script that completes our commands. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cli import main

HELP = "print a completion script for a shell"

_FILES = ("FILE", "CONFIG", "PATH")
_DIRECTORIES = ("DIR",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument of ``completions``."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help='for bash: eval "$(cdi-hook completions bash)"')


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    parser = main.whole_parser()
    for action in _actions(parser):
        # What takes a file is told by what the help calls it.
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's own way
        elif action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # shtab's own way
    print(shtab.complete(parser, shell=args.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                found.extend(_actions(one))
    return found
