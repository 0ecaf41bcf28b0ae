"""Shapes of the data, for mypy alone. Row 1; never imported at run time.

CDI: the fields of ``cdi/schema`` (a test holds them equal). OCI configs stay plain dicts, since unknown fields must survive.
"""

from __future__ import annotations

from typing import Any, TypedDict, Union


class DeviceNode(TypedDict, total=False):
    path: str
    hostPath: str
    type: str
    major: int
    minor: int
    fileMode: int
    permissions: str
    uid: int
    gid: int


class NetDevice(TypedDict, total=False):
    hostInterfaceName: str
    name: str


class Mount(TypedDict, total=False):
    hostPath: str
    containerPath: str
    options: list[str]
    type: str


class Hook(TypedDict, total=False):
    hookName: str
    path: str
    args: list[str]
    env: list[str]
    timeout: int


class IntelRdt(TypedDict, total=False):
    closID: str
    l3CacheSchema: str
    memBwSchema: str
    schemata: list[str]
    enableMonitoring: bool
    enableCMT: bool
    enableMBM: bool


class ContainerEdits(TypedDict, total=False):
    env: list[str]
    deviceNodes: list[DeviceNode]
    netDevices: list[NetDevice]
    hooks: list[Hook]
    mounts: list[Mount]
    intelRdt: IntelRdt
    additionalGids: list[int]


class Device(TypedDict, total=False):
    name: str
    annotations: dict[str, str]
    containerEdits: ContainerEdits


class Spec(TypedDict, total=False):
    cdiVersion: str
    kind: str
    annotations: dict[str, str]
    devices: list[Device]
    containerEdits: ContainerEdits


Origin = tuple[str, str]
"""Where edits come from: the spec's path, and the qualified device name (empty: the spec's own, which every device brings)."""

Part = tuple[Origin, ContainerEdits]
"""The edits of one origin."""

Op = tuple[str, Any, Origin]
"""One edit in OCI form: kind (``edits.KINDS``), value, origin."""

Reading = tuple[str, str, str, str, str]
"""One reading of a runtime's argv: subcommand, bundle, config, log, log format; empty where not given."""

Settings = dict[str, Any]
"""Our settings, flat, by dotted key; every key is present."""

Json = Union[None, bool, int, str, list[Any], dict[str, Any]]
