"""What ``explain`` and ``doctor`` report: the fields of their ``--format json``, which ``docs/api.md`` lists. Row 6, cold."""

from __future__ import annotations

from typing import Any, TypedDict

_From = TypedDict("_From", {"from": str})


class Place(TypedDict):
    """A line of a spec."""

    file: str
    line: int


class Runtime(TypedDict):
    """The real runtime; all empty where there is none."""

    path: str
    family: str
    """``runc``, ``crun``, ``youki``, or empty for another one."""
    version: str


class SpecDirectory(TypedDict):
    path: str
    exists: bool
    files: int
    """Specs in it that load."""


class Defined(Place):
    """A device that a request means, where it is defined, and which definitions of it have lost."""

    name: str
    beats: list[Place]


class Asked(_From):
    """One request. ``from``: where it stands."""

    name: str
    repeated: bool
    """It stands there more than once, and counts once."""
    devices: list[Defined]
    reason: str
    """Why the name is not known, else empty."""


class Edit(Place):
    """One edit of a spec, in the order in which they are applied."""

    kind: str
    """``env``, ``node``, ``rule``, ``net``, ``mount``, ``hook``, ``rdt`` or ``gid``."""
    edit: str
    """In a few words."""
    state: str
    """``applied``; ``held``: the config has it; ``beaten``: a later one wins; ``ignored``; ``impossible``: the host lacks what it needs."""
    field: str
    """In the spec, such as ``devices[0].containerEdits.env[1]``."""
    device: str
    """Whose edit; empty for the spec's own."""
    target: str
    """JSON pointer into the edited config."""
    replaces: Any
    """What stood there, or null."""
    hardened: str
    """What hardening changed and why, else empty."""
    stale: list[str]
    """In what it no longer describes the host."""
    value: Any
    """As it stands in the edited config."""


class Dropped(TypedDict):
    """What this runtime would drop in silence (``supported`` false), or may (null)."""

    what: str
    file: str
    device: str
    supported: bool | None
    needs: str


class Access(TypedDict):
    """Whether the container's user can open a node."""

    path: str
    user: str
    groups: list[int]
    mode: str
    owner: str
    can: str
    """``read and write``, ``read``, ``write``, ``nothing``, or empty: nobody can tell."""
    why: str
    fix: str


class Explanation(TypedDict):
    """What ``cdi-hook explain --format json`` prints."""

    config: str
    runtime: Runtime
    directories: list[SpecDirectory]
    broken: list[str]
    """Messages about files that do not load."""
    sandbox: bool
    requests: list[Asked]
    edits: list[Edit]
    dropped: list[Dropped]
    access: list[Access]
    verdict: str
    """``edited``, ``unchanged`` or ``refused``."""
    reasons: list[str]
    warnings: list[str]
    diff: str


class Remark(TypedDict):
    subject: str
    what: str


class Problem(Remark):
    """Something that keeps a request from being fulfilled. ``fix``: the command that mends it."""

    fix: str


class HandlerReport(TypedDict):
    """A handler of ours in an engine's configuration."""

    name: str
    path: str
    """The program that the engine calls."""
    file: str
    default: bool
    annotations: list[str]
    pod_annotations: list[str]
    runtime: str
    """The real runtime behind it."""


class EngineReport(TypedDict):
    engine: str
    program: str
    version: str
    config: str
    handlers: list[HandlerReport]
    notes: list[str]
    problems: list[tuple[str, str]]
    unknown: list[str]


class WrapperReport(TypedDict):
    path: str
    present: bool


RuntimeReport = TypedDict("RuntimeReport", {"path": str, "from": str, "version": str})


class SettingsReport(TypedDict):
    file: str
    exists: bool
    enabled: bool
    values: dict[str, Any]


class PathReport(TypedDict):
    path: str
    exists: bool


class SpecsReport(TypedDict):
    directories: list[PathReport]
    files: int
    devices: int


class IndexReport(TypedDict):
    home: str
    fresh: bool


class HookReport(TypedDict):
    file: str
    program: str
    stages: list[str]
    present: bool


class HostReport(TypedDict):
    systemd: bool
    cgroups: str
    """``v1``, ``v2`` or ``hybrid``."""
    missing_links: list[str]


class Examination(TypedDict):
    """What ``cdi-hook doctor --format json`` prints."""

    engines: list[EngineReport]
    wrapper: WrapperReport
    runtime: RuntimeReport
    settings: SettingsReport
    specs: SpecsReport
    index: IndexReport
    hooks: list[HookReport]
    host: HostReport
    problems: list[Problem]
    unknown: list[Remark]
    """What could not be found out."""
    notes: list[Remark]
