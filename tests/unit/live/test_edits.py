"""What is possible on a created container and what comes too late. The doing itself is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.cdi import edits
from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import cgroup, namespaces, syscalls
from cdi_hook.live import edits as live
from cdi_hook.oci import config as oci_config
from cdi_hook.settings import values

ORIGIN = ("/etc/cdi/acme.yaml", "acme.com/gpu=0")


def container(config: dict[str, Any] | None = None) -> live.Container:
    process: Any = None
    return live.Container(process, "/bundle/rootfs", {"id": "c", "pid": 1}, config or {})


def test_every_kind_has_a_place() -> None:
    """A new kind of edit, or stage of a hook, is either done here or says why not."""
    late = {key for key in live.TOO_LATE if " " not in key}
    assert set(live.APPLY) | late == set(edits.KINDS)
    assert set(live.APPLY) & late == set()
    stages = {key.partition(" ")[2] for key in live.TOO_LATE if " " in key}
    assert stages | set(live.OUR_STAGES) | set(live.THEIR_STAGES) == set(oci_config.HOOK_STAGES)


NAMES = {
    "cgroupfs": ("/kubepods/pod1/abc", "abc"),
    "with a slash at the end": ("/pod/abc/", "abc"),
    "systemd": ("system.slice:cri-containerd:abc", "cri-containerd-abc.scope"),
    "systemd without prefix": ("user.slice::abc", "abc.scope"),
    "a colon in a path": ("/a:b:c/d", "d"),
    "none": (None, ""),
    "not a path": (7, ""),
}


@pytest.mark.parametrize(("path", "name"), NAMES.values(), ids=NAMES)
def test_cgroup_name(path: object, name: str) -> None:
    assert container({"linux": {"cgroupsPath": path}}).cgroup_name == name


DENIES = {
    "no config": ({}, False),
    "no rules": ({"linux": {"resources": {}}}, False),
    "all allowed": ({"linux": {"resources": {"devices": [{"allow": True, "access": "rwm"}]}}}, False),
    "a denial": ({"linux": {"resources": {"devices": [{"allow": True}, {"allow": False, "access": "rwm"}]}}}, True),
    "a rule without allow denies": ({"linux": {"resources": {"devices": [{"access": "rwm"}]}}}, True),
    "nonsense": ({"linux": {"resources": {"devices": [7]}}}, False),
}


@pytest.mark.parametrize(("config", "denies"), DENIES.values(), ids=DENIES)
def test_denies_devices(config: dict[str, Any], denies: bool) -> None:
    assert container(config).denies_devices is denies


def test_too_late_lists_everything_and_touches_nothing() -> None:
    ops: list[Any] = [
        ("env", "SECRET=hunter2", ORIGIN),
        ("node", {}, ORIGIN),
        ("gid", 44, ("/etc/cdi/acme.yaml", "")),
        ("gid", 45, ORIGIN),
    ]
    with pytest.raises(CdiError) as caught:
        live.apply(container(), ops, values.DEFAULTS)
    both = "the wrapper cdi-runtime or the precreate hook can do it"
    assert str(caught.value) == (
        f"too late for a createRuntime hook: environment variable SECRET of acme.com/gpu=0: the runtime has read the environment already; "
        f"{both}; additional group 44 of /etc/cdi/acme.yaml, additional group 45 of acme.com/gpu=0: the runtime has read the groups "
        f"already; {both}; or set hook.tooLate: warn to start without"
    )


def test_nothing_but_what_is_too_late_may_be_a_warning() -> None:
    live.apply(container(), [("env", "A=1", ORIGIN)], {**values.DEFAULTS, "hook.tooLate": "warn"})


REFUSED = {
    "below proc": ({"destination": "/proc/x", "source": "/x", "options": ["bind"]}, "a mount at /proc/x is never made"),
    "proc by a detour": ({"destination": "/dev/../proc", "source": "/x", "options": ["bind"]}, "a mount at /dev/../proc is never made"),
    "the root": ({"destination": "//./", "source": "/x", "options": ["bind"]}, "a mount at //./ is never made"),
    "a file system of its maker": ({"destination": "/s", "source": "s", "type": "sysfs"}, "a mount of type sysfs cannot be made"),
    "a NUL in its path": ({"destination": "/opt\0x", "source": "/x", "options": ["bind"]}, "open on /opt\\x00x in the container: Invalid"),
    "an unknown option": ({"destination": "/s", "source": "/x", "options": ["bind", "shiny"]}, "the mount option shiny is unknown"),
}


@pytest.mark.parametrize(("mount", "reason"), REFUSED.values(), ids=REFUSED)
def test_mount_that_is_never_made(mount: dict[str, Any], reason: str) -> None:
    with pytest.raises(CdiError) as caught:
        live.apply(container(), [("mount", mount, ORIGIN)], values.DEFAULTS)
    assert str(caught.value).startswith(f"/etc/cdi/acme.yaml: acme.com/gpu=0: {reason}")


NODE = {"path": "/dev/acme", "type": "c", "major": 10, "minor": 229}
NUMBERS = "device node /dev/acme has the numbers {}, and no device can have these"
NEVER = "a device node at {} is never made; let the runtime wrapper put it into the config: what may stand there is for the runtime to say"
NODES = {
    "a major number too large": ({"major": 5_000_000_000}, NUMBERS.format("5000000000:229")),
    "one that a 32-bit word makes another of": ({"major": (1 << 32) + 10}, NUMBERS.format("4294967306:229")),
    "a negative one": ({"major": -5}, NUMBERS.format("-5:229")),
    "a minor number too large": ({"minor": 1 << 20}, NUMBERS.format("10:1048576")),
    "below proc": ({"path": "/proc/kcore"}, NEVER.format("/proc/kcore")),
    "proc by a detour": ({"path": "/dev/../proc/x"}, NEVER.format("/dev/../proc/x")),
    "a NUL in its path": ({"path": "/dev/a\0b"}, "open on /dev/a\\x00b in the container: Invalid argument (EINVAL)"),
}


@pytest.mark.parametrize(("change", "reason"), NODES.values(), ids=NODES)
def test_node_that_is_never_made(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(CdiError) as caught:
        live.apply(container(), [("node", {"device": {**NODE, **change}, "hostPath": "/dev/acme"}, ORIGIN)], values.DEFAULTS)
    assert str(caught.value) == f"/etc/cdi/acme.yaml: acme.com/gpu=0: {reason}"


def test_greatest_numbers_and_a_pipe_of_any() -> None:
    job = live.Job(container())
    live.APPLY["node"](job, {"device": {**NODE, "major": 4095, "minor": 1048575}, "hostPath": "/x"}, ORIGIN)
    live.APPLY["node"](job, {"device": {**NODE, "type": "p", "major": -1}, "hostPath": "/x"}, ORIGIN)
    assert len(job.steps) == 2


class Groups:
    """Cgroups that refuse."""

    version = 2

    def __init__(self, error: KernelError) -> None:
        self.error = error

    def allow(self, rules: object) -> list[Any]:
        raise self.error


class Idle:
    """A child that finds nothing wrong with the container, and does nothing."""

    def __init__(self, prepare: object, last: str) -> None:
        pass

    def end(self) -> None:
        pass


DENIAL = {"linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}]}}}


def test_filter_that_nobody_may_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by name when the config asked for a filter; rootless, where the runtime could not make one either, there is none."""
    error = KernelError("bpf on the device filter of cgroup /x: the kernel does not allow it (EPERM)", syscall="bpf", errno=1)
    monkeypatch.setattr(cgroup, "find", lambda process, name: Groups(error))
    monkeypatch.setattr(namespaces, "Child", Idle)
    monkeypatch.setattr(syscalls, "adopt_orphans", lambda: None)
    rule = ("rule", {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}, ORIGIN)
    with pytest.raises(
        KernelError, match="this kernel does not let the hook read the filter; let the runtime wrapper put the devices into"
    ):
        live.apply(container(DENIAL), [rule], values.DEFAULTS)
    job = live.Job(container())
    job.rules.append(("c", 10, 229, "rw"))
    assert live._allow(job) == []


def test_rule_that_grants_nothing_is_none() -> None:
    job = live.Job(container())
    live.APPLY["rule"](job, {"allow": True, "type": "c", "major": 1, "minor": 2}, ORIGIN)
    assert job.rules == []


def test_undo_goes_on_after_a_failure_and_says_so() -> None:
    """In reverse, and the first error is the one that is told."""
    done = []

    def fail() -> None:
        raise CdiError("busy")

    error = CdiError("the driver is missing")
    live._take_back([lambda: done.append(1), fail, lambda: done.append(3)], error)
    assert (done, str(error)) == ([3, 1], "the driver is missing (and it could not be undone: busy)")


def test_undo_goes_on_after_an_error_that_nobody_foresaw() -> None:
    done = []

    def fail() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    error = CdiError("the driver is missing")
    live._take_back([lambda: done.append(1), fail], error)
    words = "internal error, please report it: BrokenPipeError: Broken pipe"
    assert (done, str(error)) == ([1], f"the driver is missing (and it could not be undone: {words})")


def test_each_step_is_undone_once_whatever_fails() -> None:
    done = []

    class Step:
        def __init__(self, name: str) -> None:
            self.name = name

        def undo(self, inside: object) -> None:
            done.append(self.name)
            if self.name == "two":
                raise CdiError("busy")

    inside = object.__new__(live.Inside)
    steps: Any = [Step("one"), Step("two"), Step("three")]
    inside.done = steps
    with pytest.raises(CdiError, match=r"^busy$"):
        inside.carry_out("undo")
    inside.carry_out("undo")
    assert done == ["three", "two", "one"]
