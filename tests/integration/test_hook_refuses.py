"""What the createRuntime hook refuses, and where the reason can be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .hookbundle import ALL, CLEAN, Bundle, Runtime, ids, missing, write_program
from .test_hook_apply import fuse

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "unshare")), reason=missing("runc", "crun", "busybox", "unshare"))

every_runtime = pytest.mark.parametrize("runtime", ALL, ids=ids)

LATE: dict[str, Any] = {
    "env": ["ACME_SECRET=hunter2", "OTHER=1"],
    "netDevices": [{"hostInterfaceName": "acme0", "name": "eth9"}],
    "hooks": [
        {"hookName": "startContainer", "path": "/bin/true"},
        {"hookName": "poststart", "path": "/bin/true"},
        {"hookName": "poststop", "path": "/bin/true"},
    ],
    "intelRdt": {"closID": "acme"},
    "additionalGids": [44],
}
BOTH = "the wrapper cdi-runtime or the precreate hook can do it"
READ = f"the runtime has read its list of hooks already; {BOTH}"
OF = "of acme.com/thing=one"
WORDS = (
    f"environment variable ACME_SECRET {OF}, environment variable OTHER {OF}: the runtime has read the environment already; {BOTH}; "
    f"net device acme0 {OF}: the runtime has moved the network devices already; the wrapper cdi-runtime can do it; "
    f"startContainer hook /bin/true {OF}: {READ}; poststart hook /bin/true {OF}: {READ}; poststop hook /bin/true {OF}: {READ}; "
    f"Intel RDT {OF}: the runtime has joined its Intel RDT group already; {BOTH}; "
    f"additional group 44 {OF}: the runtime has read the groups already; {BOTH}"
)


@every_runtime
def test_what_comes_too_late_is_refused_in_one_message(runtime: Runtime) -> None:
    with Bundle(runtime) as bundle:
        bundle.write_spec({**LATE, "deviceNodes": [fuse(bundle)]})
        done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        message = f"too late for a createRuntime hook: {WORDS}; or set hook.tooLate: warn to start without"
        assert bundle.said() == [message]
        # runc shows what a hook says; crun does not, whence our log.
        assert (message in done.stderr) is (runtime.name == "runc")
        assert "hunter2" not in done.stderr


@every_runtime
def test_too_late_may_be_a_warning(runtime: Runtime) -> None:
    with Bundle(runtime, settings="hook:\n  tooLate: warn\n") as bundle:
        bundle.write_spec({**LATE, "deviceNodes": [fuse(bundle)]})
        done = bundle.run("ls /dev/acme; echo ${ACME_SECRET-unset}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "/dev/acme\nunset\n", "")
        assert bundle.said() == [f"started without: too late for a createRuntime hook: {WORDS}"]


@every_runtime
def test_device_that_nobody_knows(runtime: Runtime) -> None:
    with Bundle(runtime, edits={"env": ["A=1"]}) as bundle:
        bundle.config["annotations"] = {"cdi.k8s.io/test": "acme.com/thing=two"}
        done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        (message,) = bundle.said()
        assert "acme.com/thing=two" in message
        assert f"{bundle.work}/cdi" in message


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 1)], ids=ids)
def test_settings_that_are_wrong(runtime: Runtime) -> None:
    with Bundle(runtime, edits={"env": ["A=1"]}) as bundle:
        bundle.settings.write_text("colour: blue\n", encoding="ascii")
        done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        if runtime.name == "runc":
            assert f"{bundle.settings}:1: colour" in done.stderr


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 1)], ids=ids)
def test_container_in_the_hosts_mount_namespace(runtime: Runtime) -> None:
    """Where the container shares ours, whatever is put into it would show on the host."""
    with Bundle(runtime) as bundle:
        (bundle.host / "dir").mkdir()
        bundle.write_spec({"mounts": [{"hostPath": f"{bundle.host}/dir", "containerPath": "/opt", "options": ["bind"]}]})
        state = {"ociVersion": "1.0.2", "id": "x", "pid": os.getpid(), "bundle": str(bundle.work / "bundle"), "annotations": {}}
        bundle.write("true")
        done = call(bundle, json.dumps(state))
        assert done == (
            1,
            "cdi-hook: the container has no mount namespace of its own: what is put into it would show on the host\n",
        )


def call(bundle: Bundle, stdin: str) -> tuple[int, str]:
    """Call the hook by hand. Returns exit status and standard error."""
    env = {"CDI_HOOK_CONFIG": str(bundle.settings)}
    done = subprocess.run([bundle.program, "createRuntime"], input=stdin, capture_output=True, text=True, env=env, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


_IN_A_DEV_OF_ITS_OWN = 'mount -t tmpfs cdihook-dev /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"'

_LISTEN = """
import socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(10)
done = subprocess.run(sys.argv[1:], input=b"{}", capture_output=True)
print(done.returncode, log.recv(65536).decode())
"""


@pytest.mark.parametrize("name", ["createRuntime", "precreate"])
def test_message_goes_to_syslog(name: str, tmp_path: Path) -> None:
    """In a mount namespace with a /dev of its own, where this test is the system's log."""
    program = write_program(tmp_path / "cdi-hook")
    (tmp_path / "listen.py").write_text(_LISTEN, encoding="ascii")
    (tmp_path / "settings.yaml").write_text("nonsense: 1\n", encoding="ascii")
    env = {**CLEAN, "CDI_HOOK_CONFIG": str(tmp_path / "settings.yaml")}
    inner = [sys.executable, str(tmp_path / "listen.py"), str(program), name]
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", _IN_A_DEV_OF_ITS_OWN, "sh", *inner]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=True)
    status, _, line = done.stdout.partition(" ")
    assert (status, done.stderr) == ("1", "")
    assert line.startswith("<27>")  # daemon.err
    assert "cdi-hook[" in line
    assert f"{tmp_path}/settings.yaml:1: nonsense" in line
