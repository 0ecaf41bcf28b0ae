"""The createRuntime hook on containers of real runtimes: what a request brings is there when the container starts."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from .hookbundle import ALL, FUSE, NAME, Bundle, Runtime, ids, missing, unchanged_host

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "unshare")), reason=missing("runc", "crun", "busybox", "unshare"))

every_runtime = pytest.mark.parametrize("runtime", ALL, ids=ids)
either_user = pytest.mark.parametrize("userns", [False, True], ids=["root", "userns"])


def opens(*paths: str) -> str:
    """Shell: say of each path whether it can be opened."""
    return "\n".join(f'if (: <{path}) 2>/tmp/why; then echo "{path}: opened"; else echo "{path}: $(cat /tmp/why)"; fi' for path in paths)


def host_node(bundle: Bundle, name: str, *, mode: int = 0o600) -> Path:
    """A node for FUSE on the host, which the container's root could not open with this owner and mode in a user namespace."""
    path = bundle.host / name
    os.mknod(path, mode | stat.S_IFCHR, os.makedev(FUSE["major"], FUSE["minor"]))  # type: ignore[arg-type]
    os.chmod(path, mode)
    return path


def add_other(bundle: Bundle) -> None:
    """A node of the host (hw_random) comes in by a plain mount of the config, which no cgroup rule goes with: opening it says EPERM while
    the cgroup forbids it, and works, or says ENODEV, when it does not."""
    other = bundle.host / "other"
    os.mknod(other, 0o666 | stat.S_IFCHR, os.makedev(10, 183))
    os.chmod(other, 0o666)
    bundle.config["mounts"].append({"destination": "/dev/other", "type": "bind", "source": str(other), "options": ["bind"]})


def fuse(bundle: Bundle, **more: Any) -> dict[str, Any]:
    """A CDI device node that the host has under another name."""
    return {"path": "/dev/acme", "hostPath": str(host_node(bundle, "node")), "permissions": "rw", **more}


@every_runtime
@either_user
def test_node_has_its_owner_and_mode_and_opens(runtime: Runtime, userns: bool) -> None:
    with Bundle(runtime, userns=userns) as bundle:
        bundle.write_spec({"deviceNodes": [fuse(bundle, path="/dev/acme/one", fileMode=0o640, uid=0, gid=7)]})
        with unchanged_host(bundle.host):
            done = bundle.run("stat -c '%F %a %u %g %t:%T' /dev/acme/one; stat -c '%a' /dev/acme\n" + opens("/dev/acme/one"))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["character special file 640 0 7 a:e5", "755", "/dev/acme/one: opened"]
        assert bundle.said() == []


@every_runtime
@either_user
def test_node_that_nobody_granted_stays_refused(runtime: Runtime, userns: bool) -> None:
    with Bundle(runtime, userns=userns) as bundle:
        add_other(bundle)
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run(opens("/dev/acme", "/dev/other"))
        assert done.stdout.splitlines() == ["/dev/acme: opened", "/dev/other: sh: can't open /dev/other: Operation not permitted"]


@every_runtime
def test_access_is_no_more_than_the_spec_grants(runtime: Runtime) -> None:
    with Bundle(runtime) as bundle:
        bundle.write_spec({"deviceNodes": [fuse(bundle, permissions="r")]})
        done = bundle.run(opens("/dev/acme") + "\n(: >/dev/acme) 2>/dev/null || echo not for writing")
        assert done.stdout.splitlines() == ["/dev/acme: opened", "not for writing"]


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 2)], ids=ids)
def test_node_of_another_kind_and_replaced_ones(runtime: Runtime) -> None:
    """A FIFO needs no rule; a node of the config with the same path gives way, as it does for the wrapper."""
    with Bundle(runtime) as bundle:
        bundle.config["linux"]["devices"] = [{"path": "/dev/acme", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
        pipe = {"path": "/dev/pipe", "hostPath": "/nowhere", "type": "p", "fileMode": 0o622}
        bundle.write_spec({"deviceNodes": [fuse(bundle), pipe]})
        done = bundle.run("stat -c '%F %a %t:%T' /dev/acme; stat -c '%F %a' /dev/pipe")
        assert done.stdout.splitlines() == ["character special file 600 a:e5", "fifo 622"]


@every_runtime
def test_node_where_the_config_has_a_mount(runtime: Runtime) -> None:
    """An engine's ``-v /dev/null:/dev/acme``: a mount point cannot be removed, so the host's node is attached over it."""
    with Bundle(runtime) as bundle:
        bundle.config["mounts"].append({"destination": "/dev/acme", "type": "bind", "source": "/dev/null", "options": ["bind"]})
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        with unchanged_host(bundle.host):
            done = bundle.run("stat -c '%F %t:%T' /dev/acme\n" + opens("/dev/acme"))
        assert done.stdout.splitlines() == ["character special file a:e5", "/dev/acme: opened"], bundle.said()


def mounted(output: str) -> dict[str, tuple[set[str], str]]:
    """Mount point -> its options and its propagation, of ``/proc/self/mountinfo``."""
    found = {}
    for line in output.splitlines():
        words = line.split()
        optional = words[6 : words.index("-")]
        found[words[4]] = set(words[5].split(",")), " ".join(word.partition(":")[0] for word in optional)
    return found


@every_runtime
@either_user
def test_mounts_have_their_options(runtime: Runtime, userns: bool) -> None:
    with Bundle(runtime, userns=userns) as bundle:
        (bundle.host / "dir").mkdir()
        (bundle.host / "dir/file").write_text("of the host\n", encoding="ascii")
        (bundle.host / "file").write_text("one file\n", encoding="ascii")
        here, options = str(bundle.host), ["nosuid", "nodev", "noexec"]
        bundle.write_spec(
            {
                "mounts": [
                    {"hostPath": f"{here}/file", "containerPath": "/made/here/file.conf", "options": ["bind", "ro"]},
                    {"hostPath": f"{here}/dir", "containerPath": "/opt/dir", "options": ["rbind", "ro", *options, "noatime", "rslave"]},
                    {"hostPath": f"{here}/file", "containerPath": "/etc/passwd", "type": "bind"},
                    {
                        "hostPath": "cdihook-tmpfs",
                        "containerPath": "/scratch",
                        "type": "tmpfs",
                        "options": [*options, "size=64k", "mode=1777"],
                    },
                ]
            }
        )
        with unchanged_host(bundle.host):
            done = bundle.run("cat /opt/dir/file /made/here/file.conf /etc/passwd; stat -c %a /scratch; echo; cat /proc/self/mountinfo")
        content, _, table = done.stdout.partition("\n\n")
        assert (done.returncode, done.stderr) == (0, "")
        assert content.splitlines() == ["of the host", "one file", "one file", "1777"]
        points = mounted(table)
        assert {"ro", *options, "noatime"} <= points["/opt/dir"][0]
        assert "ro" in points["/made/here/file.conf"][0]
        assert "rw" in points["/etc/passwd"][0]
        assert {"rw", *options} <= points["/scratch"][0]
        assert "shared" not in " ".join(propagation for _, propagation in points.values())
        assert ("idmapped" in points["/opt/dir"][0]) is userns


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 1)], ids=ids)
def test_files_of_a_mount_belong_to_the_containers_root(runtime: Runtime) -> None:
    with Bundle(runtime, userns=True) as bundle:
        (bundle.host / "dir").mkdir()
        (bundle.host / "dir/secret").write_text("read by root alone\n", encoding="ascii")
        (bundle.host / "dir/secret").chmod(0o600)
        bundle.write_spec({"mounts": [{"hostPath": f"{bundle.host}/dir", "containerPath": "/opt/dir", "options": ["rbind", "ro"]}]})
        done = bundle.run("stat -c '%u %a' /opt/dir/secret; cat /opt/dir/secret")
        assert done.stdout.splitlines() == ["0 600", "read by root alone"]


def test_mounts_below_and_their_propagation() -> None:
    """rbind brings the mounts below, rro reaches them; shared is shared with nobody outside (crun makes all of them private later)."""
    with Bundle(Runtime("runc", 1)) as bundle:
        script = f'mount --make-rshared / && mount -t tmpfs cdihook-below {bundle.host}/dir && exec "$@"'
        (bundle.host / "dir").mkdir()
        both = {"hostPath": str(bundle.host), "options": ["rbind", "rro", "rshared"], "containerPath": "/both"}
        top = {"hostPath": str(bundle.host), "options": ["bind", "ro"], "containerPath": "/top"}
        bundle.write_spec({"mounts": [both, top]})
        bundle.wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]
        with unchanged_host(bundle.host):
            done = bundle.run("cat /proc/self/mountinfo")
        points = mounted(done.stdout)
        assert {point: "ro" in options for point, (options, _) in points.items() if point.startswith(("/both", "/top"))} == {
            "/both": True,
            "/both/dir": True,
            "/top": True,
        }
        assert points["/both/dir"][1] == "shared master"
        assert points["/top"][1] == ""


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 1)], ids=ids)
@pytest.mark.parametrize("propagation", ["shared", "rshared", "rslave", "private"])
def test_mount_shows_in_the_container_alone(runtime: Runtime, propagation: str) -> None:
    """On a host whose mounts are shared, and in a container that asks for the same."""
    with Bundle(runtime) as bundle:
        (bundle.host / "dir").mkdir()
        bundle.config["linux"]["rootfsPropagation"] = propagation
        mount = {"hostPath": f"{bundle.host}/dir", "containerPath": "/opt/dir", "options": ["rbind", "rshared"]}
        bundle.write_spec({"deviceNodes": [fuse(bundle)], "mounts": [mount]})
        script = 'mount --make-rshared / && "$@"; echo "ended with $?"; grep -c opt/dir /proc/self/mountinfo'
        bundle.wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]
        done = bundle.run("grep -c /opt/dir /proc/self/mountinfo")
        assert (done.stdout, done.stderr) == ("1\nended with 0\n0\n", "")


@every_runtime
def test_node_in_a_mount_of_the_same_device(runtime: Runtime) -> None:
    """Mounts come first, as the runtimes do it."""
    with Bundle(runtime) as bundle:
        mount = {"hostPath": "cdihook-tmpfs", "containerPath": "/dev/acme", "type": "tmpfs", "options": ["nosuid", "mode=711"]}
        bundle.write_spec({"deviceNodes": [fuse(bundle, path="/dev/acme/one")], "mounts": [mount]})
        done = bundle.run("stat -c %a /dev/acme\n" + opens("/dev/acme/one"))
        assert (done.stdout, done.stderr) == ("711\n/dev/acme/one: opened\n", "")


def write_hook(bundle: Bundle, name: str, script: str) -> str:
    path = bundle.host / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


@every_runtime
@either_user
def test_hooks_of_the_spec_run_where_the_runtime_would_run_them(runtime: Runtime, userns: bool) -> None:
    with Bundle(runtime, userns=userns) as bundle:
        bundle.host.chmod(0o777)
        ask = "cat; echo; pwd; env | sort; id -u; readlink /proc/self/ns/net /proc/self/ns/mnt; ls /proc/self/fd | wc -l; echo $1"
        path = write_hook(bundle, "hook", f'( {ask}; [ -e "{bundle.rootfs}/dev/acme" ] && echo node; true ) >{bundle.host}/$1.out 2>&1')
        stages = ("prestart", "createRuntime", "createContainer")
        hooks = [{"hookName": stage, "path": path, "args": ["hook", stage], "env": [f"A={stage}", "B=c=d"]} for stage in stages]
        bundle.write_spec({"deviceNodes": [fuse(bundle)], "hooks": hooks})
        done = bundle.run("readlink /proc/self/ns/net")
        assert (done.returncode, done.stderr) == (0, "")
        outputs = {stage: (bundle.host / f"{stage}.out").read_text(encoding="utf-8").splitlines() for stage in stages}
        for stage, lines in outputs.items():
            state = json.loads(lines[0])
            assert (state["id"], state["annotations"]) == (bundle.id, {"cdi.k8s.io/test": NAME})
            assert (state["pid"] == 1) is (stage == "createContainer")
            assert lines[1:5] == ["/", f"A={stage}", "B=c=d", "PWD=/"]
            # 0, 1 and 2, and the one with which ls reads the directory.
            assert lines[5] == "0"
            assert lines[8:10] == ["4", stage]
        net = done.stdout.strip()
        assert [lines[6] == net for lines in outputs.values()] == [False, False, True]
        assert [lines[10:] for lines in outputs.values()] == [[], [], ["node"]]


@pytest.mark.parametrize("runtime", [Runtime("runc", 2), Runtime("crun", 1)], ids=ids)
def test_hook_without_environment_gets_a_path_and_nothing_else(runtime: Runtime) -> None:
    """Neither the image's variables (CVE-2025-23266) nor ours: the harmless form of the settings' harden.hookEnv."""
    with Bundle(runtime) as bundle:
        bundle.config["process"]["env"] = ["PATH=/bin", "LD_PRELOAD=/evil.so"]
        path = write_hook(bundle, "hook", f"env >{bundle.host}/$1.out")
        hooks = [{"hookName": stage, "path": path, "args": ["hook", stage]} for stage in ("createRuntime", "createContainer")]
        bundle.write_spec({"hooks": hooks})
        assert bundle.run("true").returncode == 0
        for stage in ("createRuntime", "createContainer"):
            lines = (bundle.host / f"{stage}.out").read_text(encoding="ascii").splitlines()
            assert lines == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/"]


@every_runtime
def test_request_that_the_config_holds_is_done_already(runtime: Runtime) -> None:
    with Bundle(runtime) as bundle:
        (bundle.host / "dir").mkdir()
        mount = {"destination": "/opt/dir", "type": "bind", "source": f"{bundle.host}/dir", "options": ["rbind", "ro"]}
        bundle.config["mounts"].append(mount)
        bundle.config["process"]["env"].append("ACME=1")
        bundle.write_spec(
            {
                "env": ["ACME=1"],
                "mounts": [{"hostPath": f"{bundle.host}/dir", "containerPath": "/opt/dir", "type": "bind", "options": ["rbind", "ro"]}],
            }
        )
        done = bundle.run("grep -c /opt/dir /proc/self/mountinfo")
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@every_runtime
def test_no_request_touches_nothing(runtime: Runtime) -> None:
    with Bundle(runtime, edits={"env": ["ACME=1"]}) as bundle:
        del bundle.config["annotations"]
        done = bundle.run("echo started")
        assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
        assert bundle.said() == []


@every_runtime
def test_switched_off(runtime: Runtime) -> None:
    with Bundle(runtime, edits={"env": ["ACME=1"]}, settings="enabled: false\n") as bundle:
        assert bundle.run("echo started").stdout == "started\n"


@every_runtime
def test_read_only_root(runtime: Runtime) -> None:
    """The runtimes make the root read-only after the hooks: a missing mount point can still be made."""
    with Bundle(runtime) as bundle:
        bundle.config["root"]["readonly"] = True
        (bundle.host / "dir").mkdir()
        bundle.write_spec({"mounts": [{"hostPath": f"{bundle.host}/dir", "containerPath": "/not/there", "options": ["bind"]}]})
        done = bundle.run("ls -d /not/there; mkdir /x 2>/dev/null || echo read-only")
        assert done.stdout.splitlines() == ["/not/there", "read-only"]


@pytest.mark.parametrize("version", [1, 2])
def test_grant_survives_an_update_of_the_limits(version: int) -> None:
    """``runc update`` leaves the device rules alone, on both versions of cgroups."""
    with Bundle(Runtime("runc", version)) as bundle:
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        running = bundle.start("echo runs; exec sleep 1000")
        end = time.monotonic() + 20
        while (bundle.work / "output").read_text(encoding="utf-8") != "runs\n":
            assert time.monotonic() < end
            time.sleep(0.05)
        before = bundle.call("exec", bundle.id, "sh", "-c", opens("/dev/acme"))
        updated = bundle.call("update", "--resources", "-", bundle.id, stdin="{}")
        after = bundle.call("exec", bundle.id, "sh", "-c", opens("/dev/acme"))
        assert (updated.returncode, updated.stderr) == (0, "")
        assert (before.stdout, after.stdout) == ("/dev/acme: opened\n",) * 2
        bundle.call("delete", "--force", bundle.id)
        running.communicate(timeout=20)


@every_runtime
@either_user
def test_a_mount_that_names_no_file_system(runtime: Runtime, userns: bool) -> None:
    """It is a bind mount, as for the wrapper."""
    with Bundle(runtime, userns=userns) as bundle:
        (bundle.host / "file").write_text("from the host\n", encoding="ascii")
        mounts = [
            {"hostPath": str(bundle.host), "containerPath": "/data", "options": ["ro"]},
            {"hostPath": str(bundle.host / "file"), "containerPath": "/file"},
        ]
        bundle.write_spec({"mounts": mounts})
        done = bundle.run("cat /data/file /file; touch /data/new 2>/dev/null || echo read-only")
        assert (done.stdout, done.stderr, bundle.said()) == ("from the host\nfrom the host\nread-only\n", "", [])
