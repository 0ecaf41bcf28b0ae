"""``cdi-hook inject``: an OCI config with its CDI devices in it. Row 7, cold."""

from __future__ import annotations

import argparse

from cdi_hook.cdi.annotations import parse_annotations
from cdi_hook.cdi.registry import Registry
from cdi_hook.cli import lookup, output
from cdi_hook.diagnostics import explain
from cdi_hook.errors import BundleError, NameSyntaxError, RuntimeNotFoundError
from cdi_hook.oci import config as oci_config
from cdi_hook.oci import jsonio
from cdi_hook.pipeline import plan

HELP = "edit an OCI config for CDI devices and print it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``inject``."""
    lookup.add_spec_dirs(parser)
    parser.add_argument(
        "--as-wrapper",
        action="store_true",
        help="exactly the bytes that cdi-runtime would write: with the settings, nothing twice, hardened, checked against host and runtime",
    )
    parser.add_argument(
        "--runtime", default="", metavar="PATH", help="with --as-wrapper: the real runtime (default: the one that cdi-runtime finds)"
    )
    add_output(parser)
    parser.add_argument("config", metavar="CONFIG", help="config.json, a bundle directory, or - for standard input")
    parser.add_argument(
        "device", nargs="*", default=[], metavar="DEVICE", help="names or globs (default: what the config's annotations ask for)"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """The options that say where the config goes."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", default="", metavar="FILE", help="write it there, atomically, instead of printing it")
    where.add_argument("--in-place", action="store_true", help="replace CONFIG itself, atomically, keeping its mode and owner")


def run(args: argparse.Namespace) -> int:
    """Print or write the edited config. On any error nothing is printed or written."""
    check_output(args)
    data = lookup.read_config(args.config)
    edited = as_wrapper(data, args) if args.as_wrapper else pure(data, args)
    deliver(args, data, edited)
    return 0


def check_output(args: argparse.Namespace) -> None:
    """Wrong usage that argparse cannot see."""
    if args.in_place and args.config == lookup.STDIN:
        args.usage("standard input cannot be replaced in place")


def deliver(args: argparse.Namespace, data: bytes, edited: bytes) -> None:
    """To where the options say; a file that would not change is left alone."""
    if args.output and args.output != lookup.STDIN:
        output.save(edited, args.output)
    elif not args.in_place:
        output.write(edited)
    elif edited != data:
        output.save(edited, lookup.config_file(args.config))


def pure(data: bytes, args: argparse.Namespace) -> bytes:
    """The reference's result to the letter; of the settings only the spec directories count."""
    registry = Registry.discover(lookup.spec_dirs(args))
    try:
        config = jsonio.loads(data)
        oci_config.check(config)
        names = lookup.expand(registry, args.device) if args.device else parse_annotations((config or {}).get("annotations"))[1]
        return f"{jsonio.dumps(registry.inject(config, names))}\n".encode()
    except (BundleError, NameSyntaxError) as error:
        error.file = error.file or lookup.config_name(args.config)
        raise


def as_wrapper(data: bytes, args: argparse.Namespace) -> bytes:
    """The bytes of ``config.json`` when the real runtime starts."""
    ours = lookup.our_settings(args)
    if not ours["enabled"]:
        return data
    name = lookup.config_name(args.config)
    try:
        runtime, family = lookup.runtime(ours, args.runtime)
    except RuntimeNotFoundError as error:
        output.complain(f"{error}; so what the runtime would drop is not looked at")
        runtime = family = ""
    if not args.device:
        edited, _ = plan.edit(data, ours, file=name, runtime=runtime, family=family)
        return data if edited is None else edited
    config = lookup.parse_config(data, args.config)
    asking, settings = explain.asking(config, ours, lookup.checked(Registry.discover(ours["specDirs"]), args.device))
    found = plan.make(asking, settings, file=name, runtime=runtime, family=family)
    if found is None or not plan.apply(config, found, ours, file=name):
        return data
    return jsonio.dumps(config).encode()
