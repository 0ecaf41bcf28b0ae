"""The table of CDI fields: every field of versions 0.3.0 to 1.1.0, every rule that needs a version, every known version. Row 4, cold.

There is one row per field, and one per rule that is not a field. From these rows derive loading and validation (``specfile``), the
minimum version, the JSON schema, the reference page, and test strategies. A new field of CDI is a row here (and a function in
``cdi/edits`` and ``live/edits``).

CDI specification 1.1.0, "CDI JSON Specification"; the Go reference's ``specs-go/config.go`` and ``specs-go/version.go``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
"""Every version that the reference knows, oldest first."""
EARLIEST = "0.3.0"
"""The lowest version that any spec may declare."""
CURRENT = VERSIONS[-1]

HOOK_NAMES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
DEVICE_TYPES = ("b", "c", "u", "p")


PATTERNS = {
    "version": f"^v?({'|'.join(version.replace('.', '[.]') for version in VERSIONS[VERSIONS.index(EARLIEST) :])})$",
    "kind": "^[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
    "device": "^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$",
    "env": "^[^=]+=",
    "permissions": "^([rwm]*|none)$",
    "closID": "^(/|(?![.]{1,2}$)[^/\\n]{0,4095})$",
}
"""What a text must look like, by ``Field.form``: for the JSON schema. ``check`` says the same in Python and in words."""


class Field:
    """One field of an object.

    ``type``: ``string``, ``bool``, ``int64``, ``uint32``, ``map`` (of text to text), the name of an object, or ``[type]`` for a list.
    ``pointer``: a given zero is kept, since it means something else than an absent field. ``counts_empty``: an empty list asks for the
    version, too. ``allowed``: the values that a text may have; ``form``: a key of `PATTERNS`. ``since``: the version that brought it;
    ``until``: the last that has it. ``oci``: what it becomes in the OCI config.
    """

    __slots__ = (
        "allowed",
        "counts_empty",
        "element",
        "form",
        "meaning",
        "name",
        "oci",
        "pointer",
        "required",
        "since",
        "type",
        "until",
    )

    def __init__(
        self,
        name: str,
        type_: str,
        meaning: str,
        oci: str = "",
        *,
        required: bool = False,
        pointer: bool = False,
        counts_empty: bool = False,
        allowed: tuple[str, ...] = (),
        form: str = "",
        since: str = EARLIEST,
        until: str = "",
    ) -> None:
        self.name = name
        self.type = type_
        self.element = type_[1:-1] if type_.startswith("[") else ""
        """The type of the members of a list, "" for what is none."""
        self.meaning = meaning
        self.oci = oci
        self.required = required
        self.pointer = pointer
        self.counts_empty = counts_empty
        self.allowed = allowed
        self.form = form
        self.since = since
        self.until = until


_RDT = "/linux/intelRdt"

OBJECTS: dict[str, tuple[Field, ...]] = {
    "spec": (
        Field("cdiVersion", "string", "version of CDI that the file is written for", required=True, form="version"),
        Field("kind", "string", "vendor and class of its devices: `vendor.com/class`", required=True, form="kind"),
        Field("annotations", "map", "notes of the vendor; they do not reach the container", since="0.6.0"),
        Field("devices", "[device]", "devices, at least one", required=True),
        Field("containerEdits", "edits", "edits for every container that gets any device of this file"),
    ),
    "device": (
        Field("name", "string", "name within its kind, unique in the file", required=True, form="device"),
        Field("annotations", "map", "notes of the vendor; they do not reach the container", since="0.6.0"),
        Field("containerEdits", "edits", "edits for a container that gets this device; at least one", required=True),
    ),
    "edits": (
        Field("env", "[string]", "environment variables, `NAME=value`; they replace the container's", "/process/env", form="env"),
        Field("deviceNodes", "[deviceNode]", "device nodes, each with the right to use it", "/linux/devices, /linux/resources/devices"),
        Field("netDevices", "[netDevice]", "network interfaces to move into the container", "/linux/netDevices", since="1.1.0"),
        Field("hooks", "[hook]", "programs that the runtime runs on the host", "/hooks"),
        Field("mounts", "[mount]", "files and directories of the host", "/mounts"),
        Field("intelRdt", "intelRdt", "cache and memory bandwidth allocation; of several the last holds", _RDT, since="0.7.0"),
        Field(
            "additionalGids", "[uint32]", "supplementary groups of the process; 0 is ignored", "/process/user/additionalGids", since="0.7.0"
        ),
    ),
    "deviceNode": (
        Field("path", "string", "absolute path in the container", "path", required=True),
        Field("hostPath", "string", "absolute path on the host, if it is another", since="0.5.0"),
        Field("type", "string", "block, character (`c`, `u`) or pipe; looked up on the host when absent", "type", allowed=DEVICE_TYPES),
        Field("major", "int64", "major number; looked up on the host when absent or 0", "major"),
        Field("minor", "int64", "minor number; looked up with the major", "minor"),
        Field("fileMode", "uint32", "permission bits, as a number; those of the host's node when absent", "fileMode", pointer=True),
        Field("permissions", "string", "letters of `rwm` for the cgroup rule, `rwm` when absent, or `none`", "access", form="permissions"),
        Field("uid", "uint32", "owner; the container's user when absent", "uid", pointer=True),
        Field("gid", "uint32", "group; the container's group when absent", "gid", pointer=True),
    ),
    "netDevice": (
        Field("hostInterfaceName", "string", "name of the interface on the host, once in a list", required=True),
        Field("name", "string", "name of the interface in the container, once in a list", "name", required=True),
    ),
    "hook": (
        Field("hookName", "string", "stage at which it runs", required=True, allowed=HOOK_NAMES),
        Field("path", "string", "absolute path of the program on the host", "path", required=True),
        Field("args", "[string]", "its arguments, argv[0] first", "args"),
        Field("env", "[string]", "its environment, `NAME=value`", "env", form="env"),
        Field("timeout", "int64", "seconds after which it is ended", "timeout", pointer=True),
    ),
    "mount": (
        Field("hostPath", "string", "absolute path on the host", "source", required=True),
        Field("containerPath", "string", "absolute path in the container", "destination", required=True),
        Field("options", "[string]", "mount options, such as `ro`, `nosuid`, `bind`", "options"),
        Field("type", "string", "type of the mount, such as `bind`", "type", since="0.4.0"),
    ),
    "intelRdt": (
        Field("closID", "string", "name of the class of service: a file name, or `/`", "closID", form="closID"),
        Field("l3CacheSchema", "string", "schema for the L3 cache", "l3CacheSchema"),
        Field("memBwSchema", "string", "schema for memory bandwidth", "memBwSchema"),
        Field("schemata", "[string]", "lines for the schemata file", "schemata", since="1.1.0", counts_empty=True),
        Field("enableMonitoring", "bool", "whether to make a monitoring group", "enableMonitoring", since="1.1.0"),
        Field("enableCMT", "bool", "cache monitoring", "enableCMT", since="0.7.0", until="1.0.0"),
        Field("enableMBM", "bool", "memory bandwidth monitoring", "enableMBM", since="0.7.0", until="1.0.0"),
    ),
}
"""The fields of each object by its name, in the order in which they are written."""

FIELDS = {type_: {field.name: field for field in fields} for type_, fields in OBJECTS.items()}
"""The same by name."""


class Rule:
    """Something that asks for a version and is no field. ``test(spec)``: whether a spec as understood uses it."""

    __slots__ = ("meaning", "since", "test")

    def __init__(self, since: str, meaning: str, test: Any) -> None:
        self.since = since
        self.meaning = meaning
        self.test = test


RULES = (
    Rule("0.5.0", "a device name that starts with a digit", lambda spec: any(name[:1] in set("0123456789") for name in _names(spec))),
    Rule("0.6.0", "a dot in the class", lambda spec: "." in spec.get("kind", "").partition("/")[2]),
)

LAST_DEVICE_ONLY = (("deviceNode", "hostPath"), ("mount", "type"))
"""Fields whose version the reference asks for only in the last device of a file (and on the level of the file): an accident of its
language that files out there depend on."""


def _names(spec: dict[str, Any]) -> list[str]:
    return [device.get("name", "") for device in spec.get("devices", ())]


def version_number(version: str) -> int:
    """The place of a version in history, -1 when it is unknown. A leading ``v`` is allowed, as in the reference."""
    version = version[1:] if version.startswith("v") else version
    return VERSIONS.index(version) if version in VERSIONS else -1
