"""``cdi-hook configure ENGINE``: plug the wrapper into a container engine, and take it out again. Row 7, cold."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import sys

import cdi_hook
from cdi_hook import engines
from cdi_hook.engines import journal, wiring
from cdi_hook.engines.base import WRAPPER, Change, Engine, Plan, Request, Site, check_handler
from cdi_hook.errors import CdiError, EngineError
from cdi_hook.settings import values

HELP = "plug cdi-runtime into a container engine (--undo: take it out)"

STATE_VARIABLE = "CDI_HOOK_STATE"
"""Names another directory for the journal."""

_DAEMON_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POD_ANNOTATIONS = (
    "containerd: let requests in a pod's annotations through too. DANGER: whoever may create a pod writes them, "
    "and may then ask for any CDI device of this host"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``configure``."""
    add_common(parser)
    parser.add_argument(
        "--runtime", default="", metavar="PATH", help="the real runtime behind this handler (default: what the engine runs now)"
    )
    parser.add_argument("--set-default", action="store_true", help="make the handler the engine's default runtime")
    parser.add_argument("--pod-annotations", action="store_true", help=_POD_ANNOTATIONS)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--undo", action="store_true", help="restore the files as they were; the same as unconfigure")
    what.add_argument("--check", action="store_true", help="write nothing; exit 0: configured as asked, 1: not, 3: cannot tell")


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of ``configure`` and ``unconfigure``."""
    parser.add_argument("engine", choices=sorted(engines.ENGINES), help="the container engine")
    parser.add_argument("--config", default="", metavar="FILE", help="the file that the engine reads (default: the usual place)")
    parser.add_argument("--handler", default="cdi", metavar="NAME", help="name of the runtime handler (default: cdi)")
    parser.add_argument("--hook", action="store_true", help="use OCI hooks instead of a handler (podman, crio)")
    parser.add_argument(
        "--stage", choices=("precreate", "createRuntime"), default="", help="which hook (default: podman precreate, crio createRuntime)"
    )
    parser.add_argument("--wrapper", default="", metavar="PATH", help="cdi-runtime, where it is not beside cdi-hook")
    parser.add_argument("--dry-run", action="store_true", help="show the changes as a unified diff; write nothing")


def run(args: argparse.Namespace) -> int:
    """Do what the options ask for. Raises CdiError, with every file untouched."""
    engine = engines.load(args.engine)
    check_handler(args.handler)
    request = _request(engine, args)
    if args.undo:
        return _undo(make_site(args.wrapper, broken_settings=True), engine, request, args.dry_run)
    if args.check:
        return _check(args.wrapper, engine, request)
    site = make_site(args.wrapper)
    plan = make_plan(site, engine, request)
    if args.dry_run:
        return _show(plan.changes, plan.notes)
    if not os.access(site.wrapper, os.X_OK):
        raise EngineError("is not there", file=site.wrapper, fix="install it with packaging/install.sh, or name it: --wrapper PATH")
    checked = journal.apply(site, engine, request, plan) if plan.changes else ""
    _report(plan.changes, plan.notes, checked, engine)
    return 0


def make_plan(site: Site, engine: Engine, request: Request) -> Plan:
    """The whole plan: our settings and link first, so that the handler works as soon as the engine knows it."""
    if request.stage:
        return engine.plan(site, request, site.wrapper)
    wired = wiring.wire(site, request, engine)
    plan = engine.plan(site, request, wired.wrapper)
    plan.changes = wired.changes + plan.changes
    plan.notes = [f"the real runtime behind {request.handler} is {wired.runtime}", *wired.notes, *plan.notes]
    plan.uses += wired.uses
    return plan


def make_site(wrapper: str = "", *, broken_settings: bool = False) -> Site:
    """This host, for this user. Raises SettingsError when the settings are broken, unless that does not matter."""
    uid = os.geteuid()
    home = os.environ.get("HOME") or pwd.getpwuid(uid).pw_dir
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    file = os.path.abspath(environ.get("CDI_HOOK_CONFIG") or Site.settings)
    ours, fault = values.read(file, False)
    if fault is not None and not broken_settings:
        raise fault
    state = os.path.join(environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state"), "cdi-hook") if uid else Site.state
    return Site(
        wrapper=os.path.abspath(wrapper) if wrapper else _find_wrapper(),
        settings=file,
        state=environ.get(STATE_VARIABLE) or state,
        path=environ.get("PATH") or _DAEMON_PATH,
        uid=uid,
        home=home,
        prefixes=tuple(ours["requests.annotations"]),
        hooks=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(cdi_hook.__file__))), "hooks.d"),
        environ=environ,
    )


def _find_wrapper() -> str:
    """``cdi-runtime`` of the prefix that this package is installed in, else beside the ``cdi-hook`` that was called, else on PATH.

    Never the path inside of one version: an upgrade removes it.
    """
    package = os.path.dirname(os.path.abspath(cdi_hook.__file__))  # PREFIX/lib/cdi-hook/VERSION/lib/cdi_hook
    places = [os.path.join(*package.split("/lib/cdi-hook/")[:-1], "bin")] if "/lib/cdi-hook/" in package else []
    if "/" in sys.argv[0]:
        places.append(os.path.dirname(os.path.abspath(sys.argv[0])))
    for place in places:
        if os.access(os.path.join(place, WRAPPER), os.X_OK):
            return os.path.join(place, WRAPPER)
    return shutil.which(WRAPPER) or f"/usr/local/bin/{WRAPPER}"


def _request(engine: Engine, args: argparse.Namespace) -> Request:
    stage = ""
    if args.hook or args.stage:
        if not engine.stages:
            raise EngineError(f"{engine.no_hook}: only a handler can be configured", field="--hook")
        stage = args.stage or engine.stages[0]
        if stage not in engine.stages:
            raise EngineError(f"{engine.name} knows no {stage} hooks", field="--stage", fix=f"use {' or '.join(engine.stages)}")
    get = vars(args).get
    if stage and (get("runtime") or get("set_default")):
        raise EngineError(
            "says nothing to a hook: the engine's own runtime stays", field="--runtime" if get("runtime") else "--set-default"
        )
    if get("pod_annotations") and engine.name != "containerd":
        raise EngineError(f"{engine.name} has no such choice: only containerd keeps annotations back", field="--pod-annotations")
    return Request(
        handler=args.handler,
        config=args.config,
        runtime=get("runtime") or "",
        set_default=bool(get("set_default")),
        stage=stage,
        pod_annotations=bool(get("pod_annotations")),
    )


def _check(wrapper: str, engine: Engine, request: Request) -> int:
    try:
        site = make_site(wrapper)
        plan = make_plan(site, engine, request)
    except CdiError as error:
        print(f"cdi-hook: cannot tell: {error}", file=sys.stderr)
        return 3
    for change in plan.changes:
        print(f"not as asked: {change.path}")
    if not plan.changes and not os.access(site.wrapper, os.X_OK):
        print(f"not as asked: {site.wrapper} is missing")
        return 1
    if not plan.changes:
        print(f"{engine.name}: configured as asked")
    return 1 if plan.changes else 0


def _undo(site: Site, engine: Engine, request: Request, dry_run: bool) -> int:
    undo = journal.Undo(site, engine, request)
    if dry_run:
        return _show(undo.changes, undo.notes)
    checked = undo.write()
    if not undo.changes:
        print(f"{engine.name}: nothing of ours is configured as {journal.key(request)}")
        return 0
    _report(undo.changes, undo.notes, checked, engine)
    return 0


def _show(changes: list[Change], notes: list[str]) -> int:
    for change in changes:
        sys.stdout.write(change.diff())
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _report(changes: list[Change], notes: list[str], checked: str, engine: Engine) -> None:
    for change in changes:
        verb = "removed" if change.new is None else "linked" if change.link else "wrote" if change.old is None else "changed"
        print(f"{verb} {change.path}")
    for note in notes:
        print(f"note: {note}")
    if not changes:
        print(f"{engine.name}: nothing to change")
    elif checked:
        print(f"checked with: {checked}")
    if not any(change.kind in ("engine", "hook") for change in changes):
        return
    if engine.restart:
        print(f"to make {engine.name} read it: {engine.restart}")
    else:
        print(f"{engine.name} reads it at its next start; nothing has to be restarted")
