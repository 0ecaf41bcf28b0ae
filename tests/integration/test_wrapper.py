"""The main job, end to end: a container gets its device through the wrapper, with real runtimes, seen from inside."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PREFIX, Bundle

LOOK = """
echo "variable=$CDI_TEST"
echo "file=$(cat /run/cdi/file 2>/dev/null)"
echo "groups=$(id -G)"
test -c {node} && echo node=there || echo node=none
(: <{node}) 2>/dev/null && echo open=yes || echo open=no
"""


def hook(bundle: Bundle, stage: str) -> dict[str, Any]:
    """A hook that writes its environment and its state to files of the host."""
    script = bundle.path / f"hook-{stage}"
    script.write_text(f"#!/bin/sh\nenv >{bundle.path}/{stage}.env\ncat >{bundle.path}/{stage}.state\n")
    script.chmod(0o755)
    for name in ("env", "state"):
        (bundle.path / f"{stage}.{name}").touch()
        (bundle.path / f"{stage}.{name}").chmod(0o666)
    return {"hookName": stage, "path": str(script)}


def everything(bundle: Bundle, node: str) -> dict[str, Any]:
    """Edits of every kind that shows inside a container of any version."""
    file = bundle.path / "file"
    file.write_text("from the host")
    return {
        "env": ["CDI_TEST=injected"],
        "deviceNodes": [{"path": node}],
        "mounts": [{"hostPath": str(file), "containerPath": "/run/cdi/file", "options": ["ro", "bind"]}],
        "hooks": [hook(bundle, "createRuntime"), hook(bundle, "createContainer")],
        "additionalGids": [1234],
    }


def check_everything(bundle: Bundle, node: str) -> None:
    bundle.script(LOOK.format(node=node))
    bundle.spec("acme.com/dev", "0", everything(bundle, node))
    before = bundle.write()
    nothing = {"variable": "", "file": "", "groups": "0", "node": "none", "open": "no"}
    assert bundle.seen() == nothing
    assert bundle.file.read_bytes() == before
    bundle.ask("acme.com/dev=0")
    bundle.write()
    assert bundle.seen() == {"variable": "injected", "file": "from the host", "groups": "0 1234", "node": "there", "open": "yes"}
    for stage in ("createRuntime", "createContainer"):
        assert json.loads((bundle.path / f"{stage}.state").read_text())["id"] == bundle.id
        # Nothing of the image's environment, nothing of the engine's; the rest is the hook's own shell's.
        variables = dict(line.split("=", 1) for line in (bundle.path / f"{stage}.env").read_text().splitlines())
        assert set(variables) <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
        assert variables["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (bundle.logged(), os.listdir(bundle.bundle)) == ([], ["config.json"])


def test_what_the_container_sees(bundle: Bundle, node: str) -> None:
    check_everything(bundle, node)


def test_what_the_container_sees_from_the_source_tree(source_bundle: Bundle, node: str) -> None:
    check_everything(source_bundle, node)


def test_a_device_that_nobody_knows(bundle: Bundle) -> None:
    bundle.ask("acme.com/dev=0")
    before = bundle.write()
    stamp = bundle.stamp()
    done = bundle.run()
    message = f"cdi-hook: acme.com/dev=0 is not known; no device is known at all; searched: {bundle.specs}"
    assert (done.status, done.out, done.err) == (1, "", f"{message}\n")
    (entry,) = bundle.logged()
    assert (entry["level"], entry["msg"], set(entry)) == ("error", message, {"level", "msg", "time"})
    assert (bundle.file.read_bytes(), bundle.stamp(), os.listdir(bundle.bundle)) == (before, stamp, ["config.json"])
    assert not bundle.state.exists()  # the runtime was never started
    assert bundle("state", bundle.id).status != 0


def test_a_whole_life(bundle: Bundle, node: str) -> None:
    bundle.spec("acme.com/dev", "0", everything(bundle, node))
    bundle.ask("acme.com/dev=0")
    bundle.script(f"test -c {node} && sleep 100")
    bundle.write()
    pid_file = bundle.path / "pid"
    assert bundle("create", "--bundle", str(bundle.bundle), "--pid-file", str(pid_file), bundle.id) == (0, "", "")
    assert json.loads(bundle("state", bundle.id).out)["status"] == "created"
    assert int(pid_file.read_text()) > 1
    assert bundle("start", bundle.id) == (0, "", "")
    assert json.loads(bundle("state", bundle.id).out)["status"] == "running"
    assert bundle("exec", bundle.id, "/bin/ls", node) == (0, f"{node}\n", "")
    assert bundle("kill", bundle.id, "9").status == 0
    wait_until_stopped(bundle)
    assert bundle("delete", bundle.id).status == 0
    assert bundle("state", bundle.id).status != 0
    assert bundle.logged()[-1]["level"] == "error"  # the runtime's own, about that last state


def wait_until_stopped(bundle: Bundle) -> None:
    for _ in range(200):
        if json.loads(bundle("state", bundle.id).out)["status"] == "stopped":
            return
        time.sleep(0.02)
    raise AssertionError("the container does not stop")


@pytest.mark.parametrize("name", ["create", "run"])
def test_a_container_named_like_a_subcommand(bundle: Bundle, name: str) -> None:
    """Killing and deleting it are not creates; running it is."""
    bundle.spec("acme.com/dev", "0", {"env": ["CDI_TEST=injected"]})
    bundle.script('echo "variable=$CDI_TEST"')
    bundle.ask("acme.com/dev=0")
    bundle.write()
    done = bundle("run", "--bundle", str(bundle.bundle), name)
    assert (done.status, done.out, done.err) == (0, "variable=injected\n", "")
    bundle.ask("acme.com/dev=9")
    bundle.write()
    assert "acme.com/dev=9" not in bundle("kill", name, "9").err
    assert "acme.com/dev=9" not in bundle("delete", "--force", name).err


def test_once_more_on_the_same_bundle(bundle: Bundle, node: str) -> None:
    """A retry injects nothing twice, and does not touch the file."""
    edits = everything(bundle, node)
    bundle.spec("acme.com/dev", "0", edits)
    bundle.ask("acme.com/dev=0")
    bundle.script('echo "mounts=$(grep -c /run/cdi/file /proc/self/mountinfo)"; echo "variables=$(env | grep -c CDI_TEST)"')
    bundle.write()
    once = {"mounts": "1", "variables": "1"}
    assert bundle.seen() == once
    edited, stamp = bundle.file.read_bytes(), bundle.stamp()
    assert bundle.seen() == once
    assert (bundle.file.read_bytes(), bundle.stamp()) == (edited, stamp)
    assert [len(hooks) for hooks in json.loads(edited)["hooks"].values()] == [1, 1]


def test_behind_an_engine_that_resolved_the_request_itself(bundle: Bundle, node: str) -> None:
    """The config holds the reference's edits, unhardened, and the annotation besides: the container gets them once."""
    edits = everything(bundle, node)
    bundle.spec("acme.com/dev", "0", edits)
    bundle.ask("acme.com/dev=0")
    device = os.stat(node).st_rdev
    numbers = {"type": "c", "major": os.major(device), "minor": os.minor(device)}
    bundle.config["process"]["env"].append("CDI_TEST=injected")
    bundle.config["process"]["user"]["additionalGids"] = [1234]
    bundle.config["mounts"].append({"destination": "/run/cdi/file", "source": str(bundle.path / "file"), "options": ["ro", "bind"]})
    bundle.config["linux"]["devices"] = [{"path": node, **numbers}]
    bundle.config["linux"]["resources"]["devices"].append({"allow": True, **numbers, "access": "rwm"})
    bundle.config["hooks"] = {hook["hookName"]: [{"path": hook["path"]}] for hook in edits["hooks"]}
    bundle.script(LOOK.format(node=node) + 'echo "mounts=$(grep -c /run/cdi/file /proc/self/mountinfo)"')
    before = bundle.write()
    stamp = bundle.stamp()
    seen = bundle.seen()
    assert seen == {"variable": "injected", "file": "from the host", "groups": "0 1234", "node": "there", "open": "yes", "mounts": "1"}
    assert (bundle.file.read_bytes(), bundle.stamp()) == (before, stamp)


def test_in_a_user_namespace(bundle: Bundle, node: str) -> None:
    """A node of another path on the host: runc cannot make it, and gets a bind mount; a mount without a type crashes crun, and gets one."""
    file = bundle.path / "file"
    file.write_text("from the host")
    file.chmod(0o644)
    (bundle.path / "tree").mkdir()
    (bundle.path / "tree" / "leaf").write_text("a leaf")
    bundle.spec(
        "acme.com/dev",
        "0",
        {
            "deviceNodes": [{"path": "/dev/moved", "hostPath": node, "fileMode": 0o666}],
            "mounts": [
                {"hostPath": str(file), "containerPath": "/run/cdi/file", "options": ["ro", "bind"]},
                {"hostPath": str(bundle.path / "tree"), "containerPath": "/run/cdi/tree", "options": ["ro", "rbind"]},
            ],
        },
    )
    bundle.user_namespace()
    bundle.ask("acme.com/dev=0")
    bundle.script('echo "numbers=$(stat -c %t:%T /dev/moved)"; echo "file=$(cat /run/cdi/file)"; echo "leaf=$(cat /run/cdi/tree/leaf)"')
    bundle.write()
    device = os.stat(node).st_rdev
    assert bundle.seen() == {"numbers": f"{os.major(device):x}:{os.minor(device):x}", "file": "from the host", "leaf": "a leaf"}
    assert stat.S_ISCHR(os.stat(node).st_mode)


def test_a_relative_bundle_and_the_cwd(bundle: Bundle) -> None:
    bundle.spec("acme.com/dev", "0", {"env": ["CDI_TEST=injected"]})
    bundle.script('echo "variable=$CDI_TEST"')
    bundle.ask("acme.com/dev=0")
    bundle.write()
    done = bundle("run", "--bundle=bundle", bundle.id)
    assert (done.status, done.out, done.err) == (0, "variable=injected\n", "")


def test_descriptors_and_standard_input_reach_the_container(bundle: Bundle, tmp_path: Path) -> None:
    bundle.spec("acme.com/dev", "0", {"env": ["CDI_TEST=injected"]})
    bundle.script('echo "variable=$CDI_TEST"; echo "three=$(cat <&3)"; echo "input=$(cat)"')
    bundle.ask("acme.com/dev=0")
    bundle.write()
    (tmp_path / "three").write_text("descriptor three")
    fd = os.open(tmp_path / "three", os.O_RDONLY)
    try:
        os.dup2(fd, 3) if fd != 3 else None
        done = bundle("run", "--preserve-fds", "1", "--bundle", str(bundle.bundle), bundle.id, stdin="from the engine", pass_fds=(3,))
    finally:
        os.close(fd)
    assert (done.status, done.out) == (0, "variable=injected\nthree=descriptor three\ninput=from the engine\n"), done


def test_the_container_is_the_one_that_the_runtime_alone_would_make(bundle: Bundle) -> None:
    """Signals, limits, mask and descriptors: nothing of the interpreter's shows, and crun would hand on an ignored SIGPIPE."""
    bundle.spec("acme.com/dev", "0", {"env": ["CDI_TEST=injected"]})
    bundle.script("grep ^Sig[BI] /proc/self/status; umask; ulimit -a; ls /proc/self/fd; env | grep -v CDI_TEST")
    bundle.ask("acme.com/dev=0")
    bundle.write()
    wrapped = bundle.run()
    assert "CDI_TEST=injected" in bundle.file.read_text()
    bundle.wrapper = Path(bundle.runtime)
    bundle.write()
    assert wrapped == bundle.run()
    assert wrapped.status == 0


@pytest.mark.parametrize("runtime", ["crun"], indirect=True)
def test_crun_with_another_config(bundle: Bundle) -> None:
    bundle.spec("acme.com/dev", "0", {"env": ["CDI_TEST=injected"]})
    bundle.script('echo "variable=$CDI_TEST"')
    bundle.ask("acme.com/dev=9")
    before = bundle.write()
    bundle.ask("acme.com/dev=0")
    other = bundle.path / "other.json"
    other.write_text(json.dumps(bundle.config))
    done = bundle("run", "--config", str(other), "--bundle", str(bundle.bundle), bundle.id)
    assert (done.status, done.out, done.err) == (0, "variable=injected\n", "")
    assert (bundle.file.read_bytes(), "CDI_TEST=injected" in other.read_text()) == (before, True)


@pytest.mark.parametrize("kind", ["missing bundle", "missing config", "bad config"])
def test_the_runtimes_own_words_for_what_it_cannot_read(bundle: Bundle, kind: str) -> None:
    if kind == "bad config":
        bundle.file.write_text("{")
    where = bundle.path / "none" if kind == "missing bundle" else bundle.bundle
    done = bundle("run", "--bundle", str(where), bundle.id)
    assert done.status != 0
    assert done.err
    assert "cdi-hook:" not in done.err


def test_pass_through(bundle: Bundle) -> None:
    """Settings that are wrong keep nobody from asking and killing."""
    bundle.settings.write_text(f"runtime: {bundle.runtime}\nnonsense: true\n")
    name = os.path.basename(bundle.runtime)
    assert bundle("--version").out.startswith(f"{name} version ")
    done = bundle("kill", f"{PREFIX}none", "9")
    assert done.status != 0
    assert "nonsense" not in done.err
    bundle.ask("acme.com/dev=0")
    bundle.write()
    assert "nonsense" in bundle.run().err


@pytest.mark.parametrize(
    "mount",
    [{"options": ["ro"]}, {}, {"type": "bind", "options": ["ro"]}, {"type": "none", "options": ["ro", "nosuid"]}],
    ids=["no type", "nothing", "a type alone", "type none"],
)
def test_a_mount_that_names_no_file_system(bundle: Bundle, mount: dict[str, Any]) -> None:
    """As many specs have it: with no word of binding, which no runtime understands. A directory with what is mounted in it, and a file."""
    (bundle.path / "data/below").mkdir(parents=True)
    (bundle.path / "data/file").write_text("from the host")
    places = {"/run/cdi/dir": bundle.path / "data", "/run/cdi/file": bundle.path / "data/file"}
    mounts = [{"hostPath": str(source), "containerPath": place, **mount} for place, source in places.items()]
    bundle.spec("acme.com/dev", "0", {"mounts": mounts})
    bundle.ask("acme.com/dev=0")
    bundle.script("cat /run/cdi/dir/file /run/cdi/file; touch /run/cdi/dir/new 2>/dev/null && echo ' writable'")
    bundle.write()
    writable = "" if "ro" in mount.get("options", ()) else " writable\n"
    assert bundle.run()[:2] == (0 if writable else 1, f"from the hostfrom the host{writable}")


def test_another_vendors_runtime_behind_us(bundle: Bundle, node: str) -> None:
    """As nvidia-container-runtime does it: looks at the config that we have written, and execs the low-level runtime that it finds."""
    chained = bundle.path / "nvidia-container-runtime"
    chained.write_text(f'#!/bin/sh\necho "$*" >>{bundle.path}/called\nexec {bundle.runtime} "$@"\n')
    chained.chmod(0o755)
    bundle.settings.write_text(bundle.settings.read_text().replace(f"runtime: {bundle.runtime}", f"runtime: {chained}"))
    bundle.spec("acme.com/dev", "0", {"deviceNodes": [{"path": node}], "env": ["CDI_TEST=injected"]})
    bundle.ask("acme.com/dev=0")
    bundle.script(f'test -c {node} && echo "$CDI_TEST"')
    bundle.write()
    assert bundle.run() == (0, "injected\n", "")
    assert bundle("state", bundle.id).status != 0
    assert [line.split()[-1] for line in (bundle.path / "called").read_text().splitlines()] == [bundle.id, bundle.id]
