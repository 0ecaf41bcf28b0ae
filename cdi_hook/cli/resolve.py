"""``cdi-hook resolve``: an OCI config that has CDI names among its devices, with these resolved. Row 7, cold.

As the reference's ``cdi resolve``: an entry of ``linux.devices`` whose ``path`` is a qualified CDI name is a request, not a node.
"""

from __future__ import annotations

import argparse

from cdi_hook.cdi.names import parse_qualified_name
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import inject, lookup
from cdi_hook.errors import BundleError, NameSyntaxError
from cdi_hook.oci import config as oci_config
from cdi_hook.oci import jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = "replace the CDI names among an OCI config's linux.devices by the devices"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``resolve``."""
    lookup.add_spec_dirs(parser)
    inject.add_output(parser)
    parser.add_argument("config", metavar="CONFIG", help="config.json, a bundle directory, or - for standard input")


def run(args: argparse.Namespace) -> int:
    """Print or write the config; unchanged, byte for byte, when no device has a CDI name."""
    inject.check_output(args)
    data = lookup.read_config(args.config)
    try:
        config = jsonio.loads(data)
        oci_config.check(config)
        names = take_names(config)
        edited = data
        if names:
            edited = f"{jsonio.dumps(Registry.discover(lookup.spec_dirs(args)).inject(config, names))}\n".encode()
    except (BundleError, NameSyntaxError) as error:
        error.file = error.file or lookup.config_name(args.config)
        raise
    inject.deliver(args, data, edited)
    return 0


def take_names(config: dict[str, Any] | None) -> list[str]:
    """Take the devices that are CDI names out of a config that has been checked; their names, in order."""
    linux = (config or {}).get("linux") or {}
    devices = linux.get("devices") or []
    names = [device["path"] for device in devices if _is_name(device)]
    if names:
        linux["devices"] = [device for device in devices if not _is_name(device)]
    return names


def _is_name(device: dict[str, Any] | None) -> bool:
    try:
        parse_qualified_name((device or {}).get("path") or "")
    except NameSyntaxError:
        return False
    return True
