"""The settings file in full YAML, and what each setting means. Row 3, cold.

One row a setting: its type, what is allowed, its help. From the rows come the checks, every message, ``docs/settings.md`` and the
commented example. The defaults come from the caller: they stand in ``settings/values``, which comes here for what it cannot read.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from typing import Any, NamedTuple

from cdi_hook.errors import CdiError, FaultsError, SettingsError
from cdi_hook.yaml11 import constructor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdi_hook.model import Settings

SWITCH, CHOICE, PATH, PATHS, PREFIXES, VARIABLES = "true or false", "one word", "a path", "paths", "prefixes", "variables"
"""The types of settings."""


class Row(NamedTuple):
    """One setting."""

    key: str
    type: str
    help: str
    allowed: tuple[str, ...] = ()
    """The words of a CHOICE."""
    example: str = ""
    """What stands in the example where there is no default."""


ROWS = (
    Row("enabled", SWITCH, "`false` makes cdi-runtime a pure pass-through, for the person on call: nothing is read, nothing is edited."),
    Row(
        "runtime",
        PATH,
        "The real runtime, absolute. It is called by exactly this name, so a link such as `/usr/bin/krun` works. Without it, the first of "
        "`runc` and `crun` on `PATH` that is not cdi-runtime itself.",
        example="/usr/sbin/runc",
    ),
    Row("specDirs", PATHS, "Directories of CDI specs, absolute. Where two define one device, the later one wins."),
    Row(
        "log.file",
        PATH,
        "Where to log, absolute. A log that cannot be written keeps no container from starting.",
        example="/var/log/cdi-hook.log",
    ),
    Row("log.level", CHOICE, "The least important lines to log.", ("debug", "info", "warning", "error")),
    Row("log.format", CHOICE, "One JSON object a line, or plain text.", ("json", "text")),
    Row(
        "requests.annotations",
        PREFIXES,
        "An annotation asks for devices when its key begins with one of these. The second default is what the NVIDIA device plugin sends.",
    ),
    Row(
        "requests.environment",
        VARIABLES,
        "Variables of the container's process whose value asks for devices: CDI names, comma separated. For engines that pass no "
        "annotations on, such as Docker before 24; `[CDI_DEVICES]` is a good choice. Off, because an image's `ENV` sets variables: whoever "
        "writes the image may then ask for devices. `NVIDIA_VISIBLE_DEVICES` may also hold `all`, indices, `none` and `void`.",
    ),
    Row(
        "requests.mounts",
        SWITCH,
        "Whether a bind mount of `/dev/null` at `/var/run/cdi-hook/devices/VENDOR/CLASS/DEVICE` asks for that device. An image cannot "
        "fake it. The mount itself is taken out.",
    ),
    Row(
        "requests.selectors",
        SWITCH,
        "Whether a container may ask for `vendor.com/class=*`, every device of a kind. On the command line that is always possible.",
    ),
    Row("requests.sandboxes", SWITCH, "Whether a pod's sandbox (pause) container gets the devices of the pod's annotations, too."),
    Row(
        "harden.hookEnv",
        SWITCH,
        "Whether a hook that its spec gives no environment gets `PATH` alone. runc before 1.3 gives it the image's environment instead "
        "(CVE-2025-23266).",
    ),
    Row("harden.fileMode", SWITCH, "Whether file-type bits are taken out of a node's `fileMode`; crun does not do it."),
    Row(
        "harden.mountType",
        SWITCH,
        "Whether a bind mount without a type gets `type: bind` (crun crashes without it in a user namespace), and a mount that names "
        "neither a file system nor `bind` or `rbind` becomes a bind mount (runc and crun find no such device otherwise).",
    ),
    Row(
        "harden.nodeMount",
        SWITCH,
        "Whether a device node whose path on the host is another becomes a bind mount where runc runs in a user namespace, the container's "
        "or its own; runc fails on it there.",
    ),
    Row(
        "harden.capabilities",
        SWITCH,
        "Whether edits are refused that this version of the runtime would drop in silence: net devices, Intel RDT schemata and monitoring, "
        "id-mapped mounts.",
    ),
    Row(
        "stale",
        CHOICE,
        "What to do when a spec no longer describes the host: another device number than the spec states, a mount source or a hook that is "
        "missing. `fail`: refuse the container; `warn`: log it.",
        ("fail", "warn", "ignore"),
    ),
    Row(
        "hook.tooLate",
        CHOICE,
        "What the createRuntime hook does with edits that come too late for it, such as variables. `fail`: refuse the container; `warn`: "
        "start it without them and log it.",
        ("fail", "warn"),
    ),
)
"""Every setting, in the order of the documentation."""

RESERVED = "policy"
"""A key of a later version. To ignore it would let through what somebody meant to forbid."""

_BY_KEY = {row.key: row for row in ROWS}
_GROUPS = tuple(dict.fromkeys(row.key.partition(".")[0] for row in ROWS if "." in row.key))

_LISTS = {
    PATHS: "write a list of absolute paths, such as [/etc/cdi, /var/run/cdi]",
    PREFIXES: "write a list of beginnings of annotation keys, each with its slash, such as [cdi.k8s.io/]",
    VARIABLES: "write a list of names of variables, such as [CDI_DEVICES]",
}
_MEMBERS = {PREFIXES: re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]*"), VARIABLES: re.compile(r"[A-Za-z_][A-Za-z0-9_]*")}
_RUNTIME = re.compile(
    rb"""^["']?runtime["']?[ \t]*:[ \t]*(?:"([^"\\\n]+)"|'([^'\n]+)'|([^ \t\r\n#"'][^\r\n#]*?))[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)


def read(data: bytes, file: str, defaults: Settings) -> tuple[Settings, CdiError | None]:
    """The settings in this text, and what is wrong with it; then only ``runtime`` is other than the default, if it can be read.

    Never raises. ``file``: its path, for messages.
    """
    try:
        document = constructor.load(data, file=file)
    except CdiError as error:
        faults = [
            SettingsError(fault.reason, file=file, line=fault.line, field=fault.field, fix=fault.fix)
            for fault in (error.faults if isinstance(error, FaultsError) else [error])
        ]
        return _salvage(data, defaults), _joined(faults)
    reader = _Reader(document, file, defaults)
    reader.read()
    if not reader.faults:
        return reader.found, None
    return {**defaults, "runtime": reader.found["runtime"]}, _joined(reader.faults)


def _joined(faults: list[SettingsError]) -> CdiError:
    return faults[0] if len(faults) == 1 else FaultsError(faults)


def _salvage(data: bytes, defaults: Settings) -> Settings:
    """The defaults, and what looks like the runtime in a text that is no YAML: containers must be killed all the same."""
    found = dict(defaults)
    match = _RUNTIME.search(data)
    if match is not None:
        path = next(group for group in match.groups() if group is not None).decode("utf-8", "surrogateescape")
        if path.startswith("/"):
            found["runtime"] = path
    return found


class _Reader:
    """Goes through one document and collects all of its faults."""

    def __init__(self, document: constructor.Document, file: str, defaults: Settings) -> None:
        self.document = document
        self.file = file
        self.defaults = defaults
        self.found: Settings = dict(defaults)
        self.faults: list[SettingsError] = []

    def read(self) -> None:
        """Fill ``found`` and ``faults``."""
        value = self.document.value
        if value is None:
            return  # nothing but comments
        if not isinstance(value, dict):
            self._fault("", f"is {_kind(value)}, not a map of settings", "write lines such as runtime: /usr/sbin/runc")
            return
        for key, member in value.items():
            if key in _GROUPS:
                self._group(key, member)
            elif key in _BY_KEY and "." not in key:
                self._one(_BY_KEY[key], member)
            else:
                self._unknown(str(key))

    def _group(self, group: str, value: Any) -> None:
        if value is None:
            return  # everything in it is commented out
        if not isinstance(value, dict):
            known = [row.key.partition(".")[2] for row in ROWS if row.key.startswith(f"{group}.")]
            self._fault(group, f"is {_kind(value)}, not a map", f"write {', '.join(known)} below it, indented")
            return
        for name, member in value.items():
            key = f"{group}.{name}"
            if key in _BY_KEY:
                self._one(_BY_KEY[key], member)
            else:
                self._unknown(key)

    def _one(self, row: Row, value: Any) -> None:
        wrong = _wrong(row, value, self.defaults[row.key])
        if wrong:
            self._fault(row.key, *wrong)
        else:
            self.found[row.key] = value

    def _unknown(self, key: str) -> None:
        if key.partition(".")[0] == RESERVED:
            self._fault(key, "belongs to a later version; this one has no policy, and does not pretend to", "take it out")
            return
        known = [row.key for row in ROWS if row.key.startswith(f"{key.partition('.')[0]}.")]
        known = known or list(dict.fromkeys(row.key.partition(".")[0] for row in ROWS))
        near = difflib.get_close_matches(key, [row.key for row in ROWS], n=1, cutoff=0.7)
        hint = f"do you mean {near[0]}? " if near else ""
        self._fault(key, "is no setting", f"{hint}known here: {', '.join(known)}")

    def _fault(self, key: str, reason: str, fix: str) -> None:
        self.faults.append(SettingsError(reason, file=self.file, line=self.document.line(key), field=key, fix=fix))


def _wrong(row: Row, value: Any, default: Any) -> tuple[str, str] | None:
    """``(reason, fix)`` when the value does not suit the setting."""
    if row.type == SWITCH:
        return None if isinstance(value, bool) else (f"is {_kind(value)}", "write true or false")
    if row.type == CHOICE:
        if isinstance(value, str) and value in row.allowed:
            return None
        return f'is "{value}"' if isinstance(value, str) else f"is {_kind(value)}", f"write one of {', '.join(row.allowed)}"
    if row.type == PATH:
        if isinstance(value, str) and (_is_path(value) or (not value and not default and row.key != "runtime")):
            return None
        return f'is "{value}"' if isinstance(value, str) else f"is {_kind(value)}", "write an absolute path"
    return _wrong_list(row, value)


def _wrong_list(row: Row, value: Any) -> tuple[str, str] | None:
    fix = _LISTS[row.type]
    if not isinstance(value, list):
        return f"is {_kind(value)}, not a list", fix
    for member in value:
        if not isinstance(member, str):
            return f"holds {_kind(member)}", fix
        if not (_is_path(member) if row.type == PATHS else _MEMBERS[row.type].fullmatch(member)):
            return f'holds "{member}"', fix
    return ("is empty: there would be no device at all", fix) if row.type == PATHS and not value else None


def _is_path(text: str) -> bool:
    return text.startswith("/") and "\0" not in text


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    return {int: "a number", float: "a number", str: "text", list: "a list", dict: "a map"}.get(type(value), type(value).__name__)


def page(defaults: Settings) -> str:
    """``docs/settings.md``."""
    lines = [_PAGE]
    for row in ROWS:
        allowed = ", ".join(f"`{word}`" for word in row.allowed) or _TYPES[row.type]
        lines += [f"### `{row.key}`", "", row.help, "", f"{allowed[:1].upper()}{allowed[1:]}. Default: {_default(defaults[row.key])}.", ""]
    lines += [
        "## Example",
        "",
        "Every setting; those that have a default have it here.",
        "",
        "```yaml",
        example(defaults).rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def example(defaults: Settings) -> str:
    """``docs/config.example.yaml``: every setting with its help."""
    lines = [
        "# cdi-hook: every setting. Copy to /etc/cdi-hook/config.yaml what you change, and no more:",
        "# the wrapper reads that file for every command of every container.",
    ]
    group = ""
    for row in ROWS:
        now, dot, name = row.key.rpartition(".")
        lines.append("")
        if dot and now != group:
            lines.append(f"{now}:")
        group, indent = now, "  " if dot else ""
        lines += [f"{indent}# {line}" for line in textwrap.wrap(row.help.replace("`", ""), 110)]
        lines.append(f"{indent}{name}: {row.example or _yaml(defaults[row.key])}")
    return "\n".join([*lines, ""])


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(value: Any) -> str:
    if value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, list) else f"`{value}`"


_TYPES = {
    SWITCH: "`true` or `false`",
    PATH: "an absolute path",
    PATHS: "a list of absolute paths",
    PREFIXES: "a list of beginnings of annotation keys, each with its slash",
    VARIABLES: "a list of names of variables",
}

_PAGE = """\
<!-- Made by: python3 -m cdi_hook settings --page >docs/settings.md -->
# Settings

cdi-runtime, the hooks and `cdi-hook` read one YAML file, `/etc/cdi-hook/config.yaml`. None there means: all defaults.

* `CDI_HOOK_CONFIG` in the environment names another file. It must be there.
* Called as `cdi-runtime-NAME` (a link to `cdi-runtime`), the wrapper reads `/etc/cdi-hook/NAME.yaml` instead, which must be there:
  that is how two handlers of an engine differ. The variable beats the name.
* A mistake in the file (an unknown key, a wrong type, a file that cannot be read) stops `create`, `run` and `restore` with a message
  that names file, line and key. Every other command goes on, with the `runtime:` of the file if it can be read at all: nobody is kept
  from killing a container.
* `policy` is the key of a later version. It is refused as long as nothing enforces it.

`cdi-hook settings` shows what is in force and where it comes from.

## Keep it short

The wrapper runs for every command of every container. It needs no parser, and for most commands no Python, while the file has only
comments, `enabled`, `runtime`, `specDirs` on one line and `log:` with plain values, unquoted, indented by two blanks:

```yaml
runtime: /usr/sbin/runc
log:
  file: /var/log/cdi-hook.log
```

Everything else works as well and costs some milliseconds a command.

## All settings
"""
