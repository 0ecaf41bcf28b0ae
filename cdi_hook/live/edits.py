"""Edits on a container that has been created and not yet started. Row 4, loaded by the createRuntime hook alone.

The runtime has read ``config.json`` by now. What can still be done is done to the live container, below the host path of its rootfs
in its own mount namespace, since pivot_root(2) comes later (runtime specification 1.3.0, "Lifecycle"). ``APPLY`` has a function for
each kind of op that is possible, ``TOO_LATE`` a sentence for each that is not; together they name every kind.

All or nothing, in this order: a look whether this is the container, cgroup rules, device nodes and mounts, the spec's createRuntime
hooks, its createContainer hooks. What was done before a failure is undone in reverse.
"""

from __future__ import annotations

import errno
import functools
import os
import stat

from cdi_hook.errors import CdiError, FaultsError, KernelError, internal
from cdi_hook.linux import cgroup, devices, mounts, namespaces, paths, processes, syscalls
from cdi_hook.oci import bundle, jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.linux.bpf import Rule
    from cdi_hook.linux.namespaces import Process
    from cdi_hook.linux.paths import Root
    from cdi_hook.model import Op, Origin, Settings

OUR_STAGES = ("prestart", "createRuntime")
"""Hooks that run where we run: in the namespaces of the runtime."""

THEIR_STAGES = ("createContainer",)
"""Hooks that run in the namespaces of the container, before pivot_root."""

_BOTH = "the wrapper cdi-runtime or the precreate hook can do it"
TOO_LATE = {
    "env": f"the runtime has read the environment already; {_BOTH}",
    "net": "the runtime has moved the network devices already; the wrapper cdi-runtime can do it",
    "rdt": f"the runtime has joined its Intel RDT group already; {_BOTH}",
    "gid": f"the runtime has read the groups already; {_BOTH}",
    "hook startContainer": f"the runtime has read its list of hooks already; {_BOTH}",
    "hook poststart": f"the runtime has read its list of hooks already; {_BOTH}",
    "hook poststop": f"the runtime has read its list of hooks already; {_BOTH}",
}
"""Kind of op (and the stage of a hook) -> why it is too late here, and which entry point can do it."""

_AFTER_MOUNTS = 1 << 16

_ATTACH_INSTEAD = (("mknodat", errno.EPERM), ("unlinkat", errno.EBUSY))
"""What the kernel says where no node can be made, and where a mount stands in its place."""

_FIX_NEVER = "let the runtime wrapper put it into the config: what may stand there is for the runtime to say"

_FIX_LATE = "or set hook.tooLate: warn to start without"


class Container:
    """What the hook works on. ``rootfs``: absolute path on the host; ``state``: the runtime's, as it came; ``config``: the bundle's."""

    def __init__(self, process: Process, rootfs: str, state: dict[str, Any], config: dict[str, Any]) -> None:
        self.process = process
        self.rootfs = rootfs
        self.state = state
        self.config = config

    @property
    def cgroup_name(self) -> str:
        """The last part of the cgroup's path: of systemd's ``slice:prefix:name`` the scope."""
        linux = self.config.get("linux")
        path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
        if not isinstance(path, str):
            return ""
        scope = path.split(":")
        if len(scope) == 3 and "/" not in path:
            return f"{scope[1]}-{scope[2]}.scope" if scope[1] else f"{scope[2]}.scope"
        return path.rstrip("/").rpartition("/")[2]

    @property
    def denies_devices(self) -> bool:
        """Whether its config forbids any device, so that the runtime has made a filter."""
        linux = self.config.get("linux")
        resources = linux.get("resources") if isinstance(linux, dict) else None
        rules = resources.get("devices") if isinstance(resources, dict) else None
        return any(isinstance(rule, dict) and not rule.get("allow") for rule in rules or ())


class Job:
    """What is to be done, sorted by where: rules here, ``steps`` in the container's namespaces, hooks here and there."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.rules: list[Rule] = []
        self.steps: list[MountStep | NodeStep] = []
        self.hooks: dict[str, list[tuple[dict[str, Any], Origin]]] = {stage: [] for stage in OUR_STAGES + THEIR_STAGES}


class MountStep:
    """One mount."""

    def __init__(self, value: dict[str, Any], origin: Origin) -> None:
        self.origin = origin
        self.destination: str = value["destination"]
        self.source: str = value.get("source", "")
        self.wanted = mounts.Wanted(value.get("type", ""), value.get("options", []))
        self.tree = -1
        parts = paths.components(self.destination)
        if not parts or parts[0] == "proc":
            raise CdiError(f"a mount at {self.destination} is never made", fix=_FIX_NEVER)

    def prepare(self, process: Process) -> None:
        """On our side: copy what is to be seen in the container, with all its attributes."""
        userns = process.spaces.get("user")
        if self.wanted.idmap and userns is None:
            raise CdiError(f"mount {self.destination} asks for {self.wanted.idmap}, and the container has no user namespace")
        if self.wanted.bind:
            self.tree = mounts.clone(self.source, self.wanted)
            if userns is not None:
                mounts.map_ids(self.tree, userns, self.wanted, what=self.source)

    def place(self, inside: Inside) -> None:
        """In the container's namespaces: attach it."""
        what = f"{self.destination} in the container"
        if self.tree < 0:
            self.tree = mounts.create(self.source, self.wanted, what=what)
        target = inside.root.make(self.destination, directory=mounts.is_directory(self.tree))
        with syscalls.held(target):
            if paths.is_on_procfs(target, what=what):
                raise CdiError(f"{what} leads to a procfs, where nothing is ever mounted")
            syscalls.move_mount(self.tree, target, what=what)

    def undo(self, inside: Inside) -> None:
        """Take it away; an empty mount point stays, as the runtimes leave it."""
        mounts.detach(self.tree, inside.descriptors, what=f"{self.destination} in the container")


class NodeStep:
    """One device node."""

    def __init__(self, value: dict[str, Any], origin: Origin) -> None:
        self.origin = origin
        device = value["device"]
        number = (device.get("major", 0), device.get("minor", 0))
        owner = (device.get("uid", 0), device.get("gid", 0))
        self.node = devices.Node(device["path"], device["type"], number, device.get("fileMode"), owner)
        self.host_path: str = value["hostPath"]
        self.tree = -1
        self.made: devices.Made | None = None
        self.target: tuple[int, str, bool] | None = None
        if paths.components(self.node.path)[:1] == ["proc"]:
            raise CdiError(f"a device node at {self.node.path} is never made", fix=_FIX_NEVER)

    def prepare(self, process: Process) -> None:
        """On our side: hold the host's node, in case none can be made; that it is missing is no error yet."""
        try:
            self.tree = mounts.clone(self.host_path, mounts.Wanted("bind", []))
        except KernelError:
            return
        now = os.stat(self.tree)
        if (stat.S_IFMT(now.st_mode), now.st_rdev) != (self.node.kind, self.node.device):
            os.close(self.tree)
            self.tree = -1

    def place(self, inside: Inside) -> None:
        """In the container's namespaces: make it, or attach one that was made outside."""
        if not inside.has_user_namespace:
            try:
                self.made = devices.make(inside.root, self.node)
                return
            except KernelError as error:
                if (error.syscall, error.errno) not in _ATTACH_INSTEAD or self.tree < 0:
                    raise
        if self.tree < 0:
            reason = f"device node {self.node.path} cannot be made in a user namespace, and {self.host_path} is no such node on this host"
            raise CdiError(reason)
        self.target = devices.bind(inside.root, self.node, self.tree)

    def undo(self, inside: Inside) -> None:
        """Remove it."""
        if self.made is not None:
            self.made.undo()
        elif self.target is not None:
            mounts.detach(self.tree, inside.descriptors, what=f"{self.node.path} in the container")
            parent, name, is_new = self.target
            if is_new:
                try:
                    os.unlink(name, dir_fd=parent)
                except OSError as error:
                    raise syscalls.from_os("unlinkat", error, f"{self.node.path} in the container") from None


class Inside:
    """The part of a job that is done in the container's namespaces, in a child of ours."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.process = job.container.process
        self.has_user_namespace = "user" in self.process.spaces
        self.done: list[MountStep | NodeStep] = []
        self.descriptors = namespaces.own_descriptors()
        # Asked for on this side: the /proc of the other is not ours to believe.
        self.state = {**job.container.state, "pid": self.process.inner_pid()}
        if self.has_user_namespace:
            self._make_nodes()
        self.root: Root = namespaces.enter(self.process, job.container.rootfs)

    def _make_nodes(self) -> None:
        """Make the nodes on this side, with the owners that they shall have over there."""
        steps = [step for step in self.job.steps if isinstance(step, NodeStep)]
        for step in steps:
            with From(step.origin):
                step.node.uid = self.process.outer_id("uid", step.node.uid)
                step.node.gid = self.process.outer_id("gid", step.node.gid)
        if not steps:
            return
        os.umask(0)
        try:
            trees = devices.make_detached([step.node for step in steps])
        except KernelError as error:
            if error.errno != errno.EPERM:
                raise
            return  # We are in a user namespace ourselves: the host's own nodes must do.
        for step, tree in zip(steps, trees):
            step.tree = tree

    def carry_out(self, word: str) -> None:
        """``place``: the steps; ``undo``: those that were done, in reverse; a stage: the spec's hooks of that stage."""
        if word == "place":
            for step in self.job.steps:
                with processes.undisturbed(), From(step.origin):
                    step.place(self)
                    self.done.append(step)
        elif word == "undo":
            done, self.done = self.done, []
            _each(functools.partial(step.undo, self) for step in reversed(done))
        else:
            _run_hooks(self.job, self.state, word)


class From:
    """Puts the origin of an edit into the errors of a block."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CdiError) and not error.file:
            error.file, error.field = self.origin[0], error.field or self.origin[1]


def _rule(job: Job, value: dict[str, Any], origin: Origin) -> None:
    access = value.get("access", "")
    if access:
        job.rules.append((value["type"], value["major"], value["minor"], access))


def _node(job: Job, value: dict[str, Any], origin: Origin) -> None:
    with From(origin):
        job.steps.append(NodeStep(value, origin))


def _mount(job: Job, value: dict[str, Any], origin: Origin) -> None:
    with From(origin):
        job.steps.append(MountStep(value, origin))


def _hook(job: Job, value: tuple[str, dict[str, Any]], origin: Origin) -> None:
    stage, hook = value
    job.hooks[stage].append((hook, origin))


APPLY: dict[str, Callable[[Job, Any, Origin], None]] = {"node": _node, "rule": _rule, "mount": _mount, "hook": _hook}
"""Kind of op -> what puts it into the job."""


def apply(container: Container, ops: Iterable[Op], settings: Settings) -> None:
    """Apply ops to a created container: all of them, or none.

    ``settings["hook.tooLate"]``: ``fail`` refuses ops that come too late, all in one message; ``warn`` logs that message and does the
    others. Raises CdiError or KernelError; nothing of what was done is left then.
    """
    ops = list(ops)
    late = [op for op in ops if _key(op) in TOO_LATE]
    if late:
        refusal = _refusal(late)
        if settings["hook.tooLate"] != "warn":
            raise refusal
        bundle.log(settings, "warning", f"started without: {refusal.reason}")
    job = Job(container)
    for op in ops:
        kind, value, origin = op
        if _key(op) not in TOO_LATE:
            APPLY[kind](job, value, origin)
    job.steps.sort(key=_order)
    if job.rules or job.steps or any(job.hooks.values()):
        _run(job)


def _order(step: MountStep | NodeStep) -> int:
    """Mounts first, parents before children, and stably, as the reference sorts all mounts of a config; then the nodes, as the runtimes
    make them."""
    return len(paths.components(step.destination)) if isinstance(step, MountStep) else _AFTER_MOUNTS


def _run(job: Job) -> None:
    undo: list[Callable[[], object]] = []
    children: list[namespaces.Child] = []
    syscalls.adopt_orphans()
    try:
        for step in job.steps:
            with From(step.origin):
                step.prepare(job.container.process)
        inside = outside = None
        if job.rules or job.steps or any(job.hooks[stage] for stage in THEIR_STAGES):
            # First of all, since it looks whether this process is the container that the config speaks of.
            inside = namespaces.Child(lambda: Inside(job).carry_out, last="undo")
            children.append(inside)
        if job.rules:
            with processes.undisturbed():
                undo.extend(_allow(job))
        if inside is not None and job.steps:
            undo.append(functools.partial(inside.do, "undo"))
            inside.do("place")
        if any(job.hooks[stage] for stage in OUR_STAGES):
            outside = namespaces.Child(lambda: functools.partial(_run_hooks, job, job.container.state))
            children.append(outside)
            for stage in OUR_STAGES:
                outside.do(stage)
        for stage in THEIR_STAGES:
            if inside is not None and job.hooks[stage]:
                inside.do(stage)
        job.container.process.check_alive()
    except BaseException as error:
        _take_back(undo, error)
        raise
    finally:
        for child in children:
            child.end()


def _allow(job: Job) -> list[Callable[[], None]]:
    """Let the container's cgroup open the new nodes."""
    groups = cgroup.find(job.container.process, job.container.cgroup_name)
    try:
        return groups.allow(job.rules)
    except KernelError as error:
        if error.syscall == "bpf" and error.errno == errno.EPERM:
            if not job.container.denies_devices:
                return []  # Rootless: the runtime was not allowed to make a filter either, and none was asked for.
            error.fix = "this kernel does not let the hook read the filter; let the runtime wrapper put the devices into the config"
        raise


def _take_back(undo: list[Callable[[], object]], error: BaseException) -> None:
    """Undo what was done before an error, all of it whatever fails, and whoever tells us to stop."""
    try:
        with processes.undisturbed():
            _each(reversed(undo))
    except CdiError as other:
        if isinstance(error, CdiError):
            error.reason += f" (and it could not be undone: {other.reason})"


def _each(functions: Iterable[Callable[[], object]]) -> None:
    """Call all of these. Raises CdiError with what went wrong, at the end."""
    faults = []
    for function in functions:
        try:
            function()
        except CdiError as error:
            faults.append(error)
        except Exception as error:
            faults.append(CdiError(internal(error)))
    if faults:
        raise FaultsError(faults)


def _run_hooks(job: Job, state: dict[str, Any], stage: str) -> None:
    """Run the spec's hooks of a stage, in order, with a state on their standard input."""
    stdin = jsonio.dumps(state).encode("utf-8")
    for hook, origin in job.hooks[stage]:
        with From(origin):
            processes.run(hook["path"], hook.get("args", []), hook.get("env", []), stdin=stdin, seconds=hook.get("timeout") or 0)


def _key(op: Op) -> str:
    kind, value, _ = op
    return f"hook {value[0]}" if kind == "hook" else kind


def _refusal(late: list[Op]) -> CdiError:
    """One message for all: what comes too late, of which device, and which entry point can do it. Values of variables are not shown."""
    items: dict[str, list[str]] = {}
    for op in late:
        file, device = op[2]
        items.setdefault(_key(op), []).append(f"{_words(op)} of {device or file}")
    reason = "; ".join(f"{', '.join(names)}: {TOO_LATE[key]}" for key, names in items.items())
    return CdiError(f"too late for a createRuntime hook: {reason}", fix=_FIX_LATE)


def _words(op: Op) -> str:
    kind, value, _ = op
    if kind == "env":
        return f"environment variable {value.partition('=')[0]}"
    if kind == "net":
        return f"net device {value[0]}"
    if kind == "rdt":
        return "Intel RDT"
    if kind == "gid":
        return f"additional group {value}"
    return f"{value[0]} hook {value[1]['path']}"
