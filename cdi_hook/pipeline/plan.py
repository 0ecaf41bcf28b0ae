"""What all entry points share: collect requests, resolve names, decide, apply, harden. Row 5, hot.

``make`` tells what an entry point would do to a container, ``apply`` does it to the config. The pure path (``Registry.inject``) does not
come through here: it takes the names it is given and applies the reference's result, unhardened.
"""

from __future__ import annotations

from cdi_hook import host
from cdi_hook.cdi import edits, index
from cdi_hook.cdi.annotations import requests
from cdi_hook.errors import BundleError, CdiError, FaultsError, StaleError
from cdi_hook.oci import jsonio
from cdi_hook.pipeline import harden, stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.model import Op, Origin, Part, Settings

SANDBOX_MARKS = ("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType")
"""Annotations by which containerd and CRI-O mark the pause container, value ``sandbox``. A convenience, never a permission: in CRI-O
a user can set the mark."""

_NAMED_MOUNTS = b"cdi-hook"


class Plan:
    """What an entry point will do, and what it found on the way there."""

    __slots__ = ("held", "names", "ops", "parts", "requests", "warnings")

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        """Each requested name and where it stands, in order, repetitions included."""
        self.names: list[str] = []
        """The devices, each once."""
        self.parts: list[Part] = []
        """Their edits as the specs have them."""
        self.ops: list[Op] = []
        """What is still to be applied, hardened."""
        self.held: list[Op] = []
        """What the config has already."""
        self.warnings: list[CdiError] = []
        """What the settings let pass."""


def asks(data: bytes, settings: Settings) -> bool:
    """Whether the text of a config seems to ask for devices; escapes that hide letters are not seen through."""
    for prefix in settings["requests.annotations"]:
        # Without the slash, which JSON may write as \/.
        if prefix.partition("/")[0].encode() in data:
            return True
    if settings["requests.mounts"] and _NAMED_MOUNTS in data:
        return True
    return any(name.encode() in data for name in settings["requests.environment"])


def may_ask(data: bytes, settings: Settings) -> bool:
    """Whether the text of a config may ask for devices, in letters or in escapes that hide them."""
    return asks(data, settings) or b"\\u00" in data


def make(config: dict[str, Any], settings: Settings, *, file: str = "", runtime: str = "", family: str = "") -> Plan | None:
    """What to do to the container of this config; None when it asks for nothing, or is a sandbox.

    ``file``: the config's path, for messages. ``runtime``, ``family``: the real runtime's path and kind, so that what it would drop
    in silence is refused. Raises CdiError: what is wrong with the request, a spec, the host or the config.
    """
    if is_sandbox(config) and not settings["requests.sandboxes"]:
        return None
    found = Plan()
    try:
        found.requests = collect(config, settings)
    except CdiError as error:
        error.file = error.file or file
        raise
    if not found.requests:
        return None
    found.names = list(dict.fromkeys(name for name, _ in found.requests))
    found.parts, found.warnings = resolve(settings["specDirs"], found.names, mends_mounts=settings["harden.mountType"])
    _check_stale(found, settings)
    try:
        mappings = mappings_of(found.parts, runtime) if edits.has_user_namespace(config) else ()
        ops = edits.to_oci(found.parts, config, host.node, mappings)
        found.ops, found.held = harden.settle(
            ops,
            config,
            settings,
            bind_nodes=binds_nodes(ops, config, family),
            is_directory=host.is_directory,
            mappings=mappings,
        )
    except StaleError as error:
        raise _cold_locate([error])[0] from None
    except BundleError as error:
        error.file = error.file or file
        raise
    if settings["harden.capabilities"]:
        _check_runtime(found, runtime)
    return found


def apply(config: dict[str, Any], plan: Plan, settings: Settings, *, file: str = "") -> bool:
    """Do it to the config, in place; whether anything changed. Raises BundleError when the config is malformed."""
    try:
        changed = _cold_remove_mounts(config) if settings["requests.mounts"] else False
        edits.apply(config, plan.ops)
    except BundleError as error:
        error.file = error.file or file
        raise
    return changed or bool(plan.ops)


def edit(data: bytes, settings: Settings, *, file: str = "", runtime: str = "", family: str = "") -> tuple[bytes | None, Plan | None]:
    """The text of a config with its requests fulfilled, and how; None for a text that stays as it is. Raises CdiError."""
    if not may_ask(data, settings):
        return None, None
    asking = asks(data, settings)
    try:
        config = jsonio.loads(data, file=file)
        if not isinstance(config, dict):
            raise BundleError("is not an object", file=file)
    except BundleError:
        if asking:
            raise
        return None, None  # Nobody asks: the real runtime says what is wrong with it.
    found = make(config, settings, file=file, runtime=runtime, family=family)
    if found is None or not apply(config, found, settings, file=file):
        return None, found
    return jsonio.dumps(config).encode("utf-8"), found


def collect(config: dict[str, Any], settings: Settings) -> list[tuple[str, str]]:
    """``(name, where)`` of each request, from every source that the settings allow. Raises NameSyntaxError or BundleError."""
    selectors = settings["requests.selectors"]
    found = [
        (name, f"annotation {key}")
        for name, key in requests(config.get("annotations"), settings["requests.annotations"], selectors=selectors)
    ]
    if settings["requests.environment"] or settings["requests.mounts"]:
        found.extend(_cold_requests(config, settings))
    return found


def is_sandbox(config: dict[str, Any]) -> bool:
    """Whether the engine marks this as a pod's pause container, which carries the pod's annotations too."""
    marks = config.get("annotations")
    return isinstance(marks, dict) and any(marks.get(key) == "sandbox" for key in SANDBOX_MARKS)


def resolve(dirs: list[str], names: list[str], *, mends_mounts: bool = False) -> tuple[list[Part], list[CdiError]]:
    """The edits of these devices: from the index, else from the specs, and then with what is to be warned of. Raises UnresolvedError."""
    if not any(name.endswith("=*") for name in names):
        found = index.parts(dirs, names)
        if found is not None:
            return found, []
    return _cold_resolve(dirs, names, mends_mounts=mends_mounts)


def _check_stale(found: Plan, settings: Settings) -> None:
    if settings["stale"] == "ignore":
        return
    faults = stale.check(found.parts, host.node, host.exists)
    if faults:
        located = _cold_locate(faults)
        if settings["stale"] == "fail":
            raise FaultsError(located)
        found.warnings.extend(located)


def binds_nodes(ops: list[Op], config: dict[str, Any], family: str) -> bool:
    """Whether nodes that have another path on the host must become bind mounts: runc in a user namespace, the container's or ours."""
    if family != "runc" or all(kind != "node" or value["hostPath"] == value["device"]["path"] for kind, value, _ in ops):
        return False
    return edits.has_user_namespace(config) or host.in_user_namespace()


def mappings_of(parts: list[Part], runtime: str) -> tuple[str, ...]:
    """The id mappings that we may add to bind mounts of our own accord: those that the runtime is known to honour."""
    if not runtime or not any(of_origin.get("mounts") for _, of_origin in parts):
        return ()
    return tuple(option for option in edits.MAPPINGS if _cold_supports(runtime, f"mount.{option}"))


def _check_runtime(found: Plan, runtime: str) -> None:
    needs = harden.needs(found.parts)
    if needs and runtime:
        found.warnings.extend(_cold_check_runtime(needs, runtime))


def _cold_resolve(dirs: list[str], names: list[str], *, mends_mounts: bool = False) -> tuple[list[Part], list[CdiError]]:
    from cdi_hook.cdi import lint
    from cdi_hook.cdi.indexwriter import refresh

    registry, _ = refresh(dirs)
    meant = registry.expand(names)
    return registry.parts(meant), list(lint.of_devices(registry, meant, mends_mounts=mends_mounts))


def _cold_requests(config: dict[str, Any], settings: Settings) -> list[tuple[str, str]]:
    from cdi_hook.pipeline.requests import from_environment, from_mounts

    selectors = settings["requests.selectors"]
    found = from_environment(config, settings["requests.environment"], selectors=selectors)
    return found + from_mounts(config, selectors=selectors) if settings["requests.mounts"] else found


def _cold_remove_mounts(config: dict[str, Any]) -> bool:
    from cdi_hook.pipeline.requests import remove_mounts

    return remove_mounts(config)


def _cold_locate(faults: list[StaleError]) -> list[CdiError]:
    """The same faults with the line in the spec, the whole field path, and what to run."""
    from cdi_hook.cdi import advice

    return list(advice.locate_all(faults))


def _cold_supports(runtime: str, feature: str) -> bool | None:
    from cdi_hook.oci import features

    return features.supports(runtime, feature)


def _cold_check_runtime(needs: list[tuple[str, str, Origin]], runtime: str) -> list[CdiError]:
    """Refuse what the runtime would drop in silence. Returns warnings, where nobody can tell."""
    from cdi_hook.oci import features

    refused: list[CdiError] = []
    warnings: list[CdiError] = []
    for feature, words, (file, device) in needs:
        able = features.supports(runtime, feature)
        if able is False:
            fix = f"it needs {features.needed(runtime, feature)}"
            refused.append(CdiError(f"{words}: {runtime} would drop it without a word", file=file, field=device, fix=fix))
        elif able is None:
            warnings.append(CdiError(f"{words}: nobody can tell whether {runtime} honours it", file=file, field=device))
    if refused:
        raise FaultsError(refused)
    return warnings
