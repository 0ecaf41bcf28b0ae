"""What most commands begin with: our settings, the spec directories, names and globs, the config. Row 7, cold."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys

from cdi_hook.cdi.names import parse_qualified_name
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import output
from cdi_hook.errors import BundleError, os_words
from cdi_hook.oci import arguments, jsonio
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any

    from cdi_hook.model import Settings

STDIN = "-"


def add_spec_dirs(parser: ArgumentParser, default: str = "those of the settings") -> None:
    """The option ``--spec-dir``."""
    parser.add_argument(
        "--spec-dir",
        action="append",
        metavar="DIR",
        help=f"a directory of CDI specs; several, later ones win (default: {default})",
    )


def our_settings(args: Namespace) -> Settings:
    """The settings as the wrapper has them, but with the directories of ``--spec-dir``, if any. Raises CdiError when they are broken."""
    ours, fault = values.read(*values.locate("cdi-hook", os.environb))
    if fault is not None:
        raise fault
    if args.spec_dir:
        ours["specDirs"] = args.spec_dir
    return ours


def spec_dirs(args: Namespace) -> list[str]:
    """The spec directories: those of ``--spec-dir``, else those of the settings. Raises CdiError when the settings are broken."""
    found: list[str] = args.spec_dir or our_settings(args)["specDirs"]
    return found


def registry(args: Namespace) -> Registry:
    """The specs in these directories. What is wrong with files is said on standard error, one line each, and hides no other file."""
    found = Registry.discover(spec_dirs(args))
    for faults in found.errors.values():
        for fault in faults:
            output.complain(str(fault))
    return found


def expand(registry: Registry, patterns: Sequence[str]) -> list[str]:
    """Device names for names and globs (``acme.com/gpu=*``, ``*/*=0``), in order; a glob gives those not named otherwise, sorted.

    A glob that matches nothing stays, and is then unresolved.
    """
    plain = {pattern for pattern in patterns if not is_glob(pattern)}
    found: list[str] = []
    for pattern in patterns:
        if pattern in plain:
            found.append(pattern)
            continue
        meant = [name for name in registry.devices() if fnmatch.fnmatchcase(name, pattern)]
        taken = plain.union(found)
        found.extend([name for name in meant if name not in taken] if meant else [pattern])
    return found


def checked(registry: Registry, patterns: Sequence[str]) -> list[str]:
    """The same, for what takes well-formed names alone. Raises NameSyntaxError, and UnresolvedError for a glob that matches nothing."""
    names = expand(registry, patterns)
    for name in names:
        if is_glob(name):
            registry.parts([name])
        parse_qualified_name(name)
    return names


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of these names and globs means this device."""
    return any(fnmatch.fnmatchcase(name, pattern) if is_glob(pattern) else name == pattern for pattern in patterns)


def is_glob(text: str) -> bool:
    """Whether it is a pattern; no device name may hold these characters."""
    return any(character in text for character in "*?[")


def read_config(path: str) -> bytes:
    """The bytes of a config: of a file, of ``config.json`` in a bundle, or of standard input (``-``). Raises BundleError."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    path = config_file(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        words = os_words(error) if isinstance(error, OSError) else str(error)
        raise BundleError(f"cannot be read: {words}", file=path) from None


def parse_config(data: bytes, path: str) -> dict[str, Any]:
    """The config in these bytes. Raises BundleError when they are no JSON object."""
    config = jsonio.loads(data, file=config_name(path))
    if not isinstance(config, dict):
        raise BundleError("is not an object", file=config_name(path))
    return config


def config_file(path: str) -> str:
    """The file that the argument CONFIG means."""
    return os.path.join(path, "config.json") if os.path.isdir(path) else path


def config_name(path: str) -> str:
    """What to call the config in messages."""
    return "standard input" if path == STDIN else config_file(path)


def runtime(ours: Settings, named: str = "") -> tuple[str, str]:
    """``(path, family)`` of the real runtime that the wrapper would become: the one named, as set, or found on PATH.

    Raises RuntimeNotFoundError.
    """
    path = named or values.find_runtime(ours, wrapper(), os.environb)
    return path, arguments.family(path)


def wrapper() -> str:
    """Our ``cdi-runtime``, which is not the real runtime; empty when it is nowhere."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "cdi-runtime")
    return beside if os.access(beside, os.X_OK) else shutil.which("cdi-runtime") or ""
