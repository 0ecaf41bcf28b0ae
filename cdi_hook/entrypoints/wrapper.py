"""The runtime wrapper: argv, bundle, ``config.json``, and then the real runtime. Row 6, hot.

Stands where an engine expects an OCI runtime. For ``create``, ``run`` and ``restore`` it fulfils the requests of the bundle's config
before it becomes the real runtime; for every other command it becomes that at once. On success it prints nothing, since that would
land in the container's log; on failure the runtime is not started and the config is as it was.
"""

from __future__ import annotations

import posix
import sys

from cdi_hook.errors import BundleError, CdiError, RuntimeNotFoundError, internal
from cdi_hook.oci import arguments, bundle
from cdi_hook.pipeline import plan
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.model import Reading, Settings


_SEEN = "cdi_seen"
"""The launcher starts Python with ``-Xcdi_seen`` when it has seen what may be a request in the config."""


def main(argv: list[str] | None = None) -> int:
    """Run as the wrapper. ``argv``: the path by which we were called, then the runtime's arguments.

    Returns 1 after a failure, which has been reported; success does not return.
    """
    argv = list(sys.argv if argv is None else argv)
    where = ["", ""]
    try:
        wrap(argv[0], argv[1:], where)
        raise AssertionError("the real runtime was not started")
    except CdiError as error:
        bundle.report(str(error), *where)
    except BaseException as error:  # no traceback ever reaches an engine's user
        bundle.report(internal(error), *where)
    return 1


def wrap(self_path: str, args: list[str], where: list[str]) -> None:
    """Do the job of the wrapper; on success this process is the real runtime afterwards.

    ``where``: receives the values of ``--log`` and ``--log-format`` as soon as they are known. Raises CdiError.
    """
    file, named = values.locate(self_path, posix.environ)
    ours, fault = values.read(file, named)
    try:
        runtime = _real_runtime(ours, self_path)
    except CdiError:
        where[:] = arguments.readings(args, "")[0][3:5]  # of whatever family: the engine looks there
        raise
    family = arguments.family(runtime)
    readings = arguments.readings(args, family)
    creates = [reading for reading in readings if reading[0] in arguments.CREATES]
    where[:] = (creates or readings)[0][3:5]
    if fault is not None:
        # A settings error must never keep anyone from killing a container, not even one whose arguments are unclear.
        if len(creates) == len(readings):
            raise fault
    elif creates and ours["enabled"]:
        _edit_bundle(readings, creates, args, ours, runtime, family)
    bundle.execute(runtime, args)


def _real_runtime(ours: Settings, self_path: str) -> str:
    runtime: str = ours["runtime"] or values.find_runtime(ours, self_path, posix.environ)
    if bundle.same_file(runtime, self_path):
        raise RuntimeNotFoundError("leads back to this wrapper", file=runtime, field="runtime", fix="name the real runtime, such as runc")
    return runtime


def _edit_bundle(readings: list[Reading], creates: list[Reading], args: list[str], ours: Settings, runtime: str, family: str) -> None:
    """Edit the config that the arguments name, and become the runtime; return when there is nothing to do."""
    seen = _SEEN in sys._xoptions
    paths = list(dict.fromkeys(_config_path(reading) for reading in creates))
    for path in paths:
        read = bundle.read_config(path)
        if read is None and not seen:
            continue  # The real runtime's own words are the ones that people know.
        if read is None or (seen and not plan.may_ask(read[0], ours)):
            raise BundleError("has changed since it was first looked at, and asked for devices then", file=path, fix="try again")
        data, stat = read
        edited, found = plan.edit(data, ours, file=path, runtime=runtime, family=family)
        if found is None:
            continue
        if len(creates) < len(readings) or (len(paths) > 1 and not all(bundle.same_file(path, other) for other in paths)):
            option = arguments.unknown_option(args, family)
            fix = "tell us whether it takes a value: report it with the runtime's version"
            raise BundleError(f"asks for devices, but the option {option} leaves open which bundle is meant", file=path, fix=fix)
        for warning in found.warnings:
            bundle.log(ours, "warning", str(warning))
        if edited is not None:
            _deliver(path, data, edited, stat, args, runtime)
        return


def _deliver(path: str, old: bytes, new: bytes, stat: posix.stat_result, args: list[str], runtime: str) -> None:
    bundle.check_executable(runtime)
    bundle.write_config(path, new, stat)
    try:
        bundle.execute(runtime, args)
    except BaseException:
        bundle.write_config(path, old, stat)
        raise


def _config_path(reading: Reading) -> str:
    _, directory, config, _, _ = reading
    if config:
        return config  # crun resolves it before it changes to the bundle.
    return f"{directory}/config.json" if directory else "config.json"


if __name__ == "__main__":
    sys.exit(main())
