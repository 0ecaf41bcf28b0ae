"""``cdi-hook doctor``: one page about this host. Row 7, cold."""

from __future__ import annotations

import argparse
import json

from cdi_hook import engines
from cdi_hook.cli.configure import make_site
from cdi_hook.diagnostics import doctor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.diagnostics.reports import EngineReport, Examination

HELP = "examine the whole chain: engines, handlers, runtime, settings, specs, hooks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        type=_config,
        metavar="ENGINE=FILE",
        help="the file that an engine reads, if not the usual one",
    )
    parser.add_argument("--wrapper", default="", metavar="PATH", help="cdi-runtime, where it is not beside cdi-hook")


def run(args: argparse.Namespace) -> int:
    """Print the page. Exit status: 0 all is well, 1 problems, 3 something could not be found out."""
    report = doctor.examine(make_site(args.wrapper, broken_settings=True), dict(args.config))
    print(json.dumps(report, indent=2) if args.format == "json" else page(report))
    return doctor.verdict(report)


def _config(text: str) -> tuple[str, str]:
    name, _, file = text.partition("=")
    if name not in engines.ENGINES or not file:
        raise argparse.ArgumentTypeError(f"write ENGINE=FILE; engines: {', '.join(engines.ENGINES)}")
    return name, file


def page(report: Examination) -> str:
    """The report as text, problems last: they are what stays on the screen."""
    lines = [line for engine in report["engines"] for line in _engine(engine)]
    runtime, specs, host = report["runtime"], report["specs"], report["host"]
    lines += _row("wrapper", report["wrapper"]["path"] + ("" if report["wrapper"]["present"] else " (missing)"))
    lines += _row("runtime", f"{runtime['path'] or 'none'} ({runtime['version'] or 'version unknown'}; from {runtime['from']})")
    lines += _row("settings", report["settings"]["file"] + ("" if report["settings"]["exists"] else " (not there: defaults)"))
    directories = ", ".join(item["path"] + ("" if item["exists"] else " (not there)") for item in specs["directories"])
    lines += _row("specs", f"{_count(specs['devices'], 'device')} in {_count(specs['files'], 'file')} of {directories}")
    lines += _row("index", "fresh" if report["index"]["fresh"] else "none yet")
    for hook in report["hooks"]:
        lines += _row("hook", f"{hook['file']} ({', '.join(hook['stages'])})")
    lines += _row("host", f"cgroups {host['cgroups']}, {'systemd' if host['systemd'] else 'no systemd'}")
    for title in ("notes", "unknown"):
        if report[title]:
            lines += ["", "cannot tell:" if title == "unknown" else "notes:"]
            lines += [f"  {item['subject']}: {item['what']}" for item in report[title]]
    if report["problems"]:
        lines += ["", "problems:"]
        for item in report["problems"]:
            lines += [f"  {item['subject']}: {item['what']}", f"    mend it: {item['fix']}"]
    elif not report["unknown"]:
        lines += ["", "all is well"]
    return "\n".join(lines)


def _engine(engine: EngineReport) -> list[str]:
    if not engine["program"] and not engine["handlers"]:
        return _row(engine["engine"], "not installed")
    lines = _row(engine["engine"], f"{engine['version'] or 'version unknown'}, {engine['config']}")
    for handler in engine["handlers"]:
        marks = [f"real runtime {handler['runtime']}"] if handler["runtime"] else []
        if handler["default"]:
            marks.append("default")
        if handler["annotations"]:
            marks.append("annotations: " + ", ".join(handler["annotations"]))
        suffix = f" ({'; '.join(marks)})" if marks else ""
        lines += _row("", f"handler {handler['name']} -> {handler['path']}{suffix}")
    if not engine["handlers"]:
        lines += _row("", "no handler of ours")
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _row(title: str, text: str) -> list[str]:
    return [f"{title:<12}{text}"]
