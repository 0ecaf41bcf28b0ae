"""The sh launcher: it starts the real runtime only where Python would too, and changes nothing on the way.

The launcher is rendered with ``/bin/false`` as its Python and, as the runtime, a link called ``runc`` to ``/bin/true``, so that its exit
status says whom it started.
"""

from __future__ import annotations

import functools
import json
import os
import posix
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cdi_hook.entrypoints import wrapper
from cdi_hook.errors import CdiError
from cdi_hook.oci import arguments, bundle
from cdi_hook.settings import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
GREPS = {"grep": "/bin/grep", "busybox": "/bin/busybox grep"}
SHELLS = {"dash": ["/bin/dash"], "bash": ["/bin/bash"], "busybox": ["/bin/busybox", "sh"]}
RUNTIME, PYTHON = 0, 1
"""Exit statuses of the two stubs."""


@functools.cache
def render(python: str, hot: str, etc: str) -> str:
    command = [sys.executable, str(ROOT / "packaging/launcher.py"), "--python", python, "--hot", hot, "--etc", etc, "--grep", "/bin/grep"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class World:
    """A directory with a launcher, a runtime, bundles and settings; ``run`` starts the launcher, ``python`` asks Python."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "path"
        self.bin.mkdir()
        self.runtime = self.bin / "runc"
        self.runtime.symlink_to("/bin/true")
        self.etc = directory / "etc"
        self.etc.mkdir()
        self.text = render("/bin/false", "/hot.pyc", "/etc/cdi-hook").replace("/etc/cdi-hook", str(self.etc))
        self.launcher = directory / "cdi-runtime"
        self.launcher.write_text(self.text)
        self.launcher.chmod(0o755)
        self.environment = {"PATH": f"/nowhere:{self.bin}"}

    def behind(self, name: str) -> None:
        """Let the settings name a runtime of this name."""
        if name != "runc":
            (self.bin / "runc").rename(self.bin / name)
            self.runtime = self.bin / name
            (self.etc / "config.yaml").write_text(f"runtime: {self.runtime}\n")

    def shell(self, name: str) -> list[str]:
        """The words that start the launcher in one shell. $0 is the launcher's path in each, as after a ``#!`` line."""
        if not Path(SHELLS[name][0]).exists():
            pytest.skip(f"{name} is not installed")
        return [*SHELLS[name], str(self.launcher)]

    def run(self, words: list[str], argv: list[str]) -> int:
        child = os.posix_spawn(words[0], [*words, *argv], self.environment)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def python(self, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> int:
        """RUNTIME if the Python wrapper would start the real runtime and leave the config alone."""

        class Executed(BaseException):
            pass

        def execute(path: str, words: list[str]) -> None:
            raise Executed(path, words)

        monkeypatch.setattr(bundle, "execute", execute)
        monkeypatch.setattr(bundle, "write_config", lambda *_: None)
        monkeypatch.setattr(values, "DIRECTORY", str(self.etc))
        monkeypatch.setattr(posix, "environ", {os.fsencode(k): os.fsencode(v) for k, v in self.environment.items()})
        try:
            wrapper.wrap(str(self.launcher), argv, ["", ""])
        except Executed as done:
            return RUNTIME if done.args == (str(self.runtime), argv) else PYTHON
        except CdiError:
            return PYTHON
        raise AssertionError("wrap returned")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    made = World(tmp_path)
    plain = '{"ociVersion":"1.0.2","annotations":{"a":"b"}}'
    asking = '{"annotations":{"cdi.k8s.io/x":"vendor.com/class=none"}}'
    texts = {
        "plain": plain,
        "asking": asking,
        "nvidia": asking.replace("cdi", "nvidia.cdi"),
        "other": plain.replace('"a"', '"cdi.k8s.iox"'),
    }
    for number, letter in enumerate("cdi.k8s.io"):
        for case in ("x", "X"):
            key = "cdi.k8s.io"[:number] + f"\\u{ord(letter):04{case}}" + "cdi.k8s.io"[number + 1 :]
            texts[f"hidden{number}{case}"] = asking.replace("cdi.k8s.io", key)
    texts["empty"] = ""
    texts["slash"] = asking.replace("/x", "\\/x")
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    (tmp_path / "none").mkdir()
    (tmp_path / "folder" / "config.json").mkdir(parents=True)
    os.mkfifo(tmp_path / "none" / "fifo")
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / "config.json")
    (tmp_path / "config.json").write_text(plain)
    return made


def bundles(world: World) -> list[str]:
    return [*sorted(path.parent.name for path in world.directory.glob("*/config.json")), "none", "nowhere", ".", ""]


# Words, and how engines and hands spell options around them. {} is a bundle.
GLOBAL = ["--root /r", "--root=/r", "--log create", "--log=run", "--log-format json", "--debug", "--systemd-cgroup", "--rootless true"]
GLOBAL += ["--criu=/c", "--criu create", "--root {}", "-v", "--shiny", "--shiny=1", "-root /r", "--debug=false", "--roo /r", "--log"]
SUBCOMMANDS = ["create"] * 8 + ["run", "restore", "state", "kill", "delete", "exec", "--version", "--help", "", "-", "--", "features"]
OPTIONS = ["--bundle {}", "--bundle={}", "-b {}", "-b={}", "-bundle {}", "--b={}", "-b{}", "--bundle"] + ["--bundle {}"] * 6
OPTIONS += ["--pid-file /p", "--pid-file=create", "--console-socket=/s", "--preserve-fds 1", "--no-pivot", "--no-new-keyring", "-d"]
OPTIONS += ["--pid-file", "--shiny", "--config {}/config.json", "-f /f", "--log /l", "--keep", "--no-pivot=true", "--pidfd-socket /s"]
IDS = ["c1"] * 6 + ["create", "run", "un", "reate", "estore", "-", "", "c1 c2", "-- c1", "--bundle {} c1", "-1", "+create", "* ?"]


def argument_lists(chance: random.Random, names: list[str]) -> Iterator[list[str]]:
    while True:
        spelled = chance.sample(GLOBAL, chance.choice([0, 0, 1, 2, 3]))
        spelled.append(chance.choice(SUBCOMMANDS))
        spelled += [chance.choice(OPTIONS) for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))]
        spelled.append(chance.choice(IDS))
        yield [word.format(chance.choice(names)) for text in spelled for word in text.split(" ")]


@pytest.mark.parametrize(
    ("shell", "count", "name"),
    [("dash", 2000, "runc"), ("bash", 300, "runc"), ("busybox", 300, "runc"), ("dash", 500, "crun"), ("dash", 500, "youki")]
    + [("dash", 500, name) for name in ("runsc", "nvidia-container-runtime")],
)
def test_argv_decides_as_python_does(world: World, monkeypatch: pytest.MonkeyPatch, shell: str, count: int, name: str) -> None:
    """Whenever the launcher starts the runtime, Python would have done so and left the config alone. Of a runtime that nobody has a table
    for, all tables must agree."""
    world.behind(name)
    chance = random.Random(f"argv {shell}")
    words = world.shell(shell)
    at_once = 0
    for _, argv in zip(range(count), argument_lists(chance, bundles(world))):
        if world.run(words, argv) == RUNTIME:
            at_once += 1
            assert world.python(monkeypatch, argv) == RUNTIME, argv
    assert at_once > count / 4, "the launcher is of no use if it asks Python about everything"


# Lines of settings, plain and not; @ is the runtime.
LINES = ["enabled: true", "enabled: false", "runtime: @", "specDirs: [/etc/cdi]", "specDirs: [/etc/cdi, /run/cdi]", "log:", "  file: /l"]
LINES += ["  level: info", "  level: debug", "  format: json", "  format: text", "", "# a comment", "  # indented", "runtime: /bin/true"]
LINES += ["enabled: yes", "enabled: True", "runtime: '@'", "runtime:  @", "runtime: @ # it", "runtime: ", "runtime:", "runtime: runc"]
LINES += ["specDirs: []", "specDirs: [/a,/b]", "specDirs: [/a ,/b]", "specDirs: [/a, , /b]", "specDirs: [/a, /b, ]", "specDirs: [/a b]"]
LINES += ["specDirs: [relative]", "specDirs: /a", "log: {}", "log: null", "   level: info", " level: info", "  level: loud", "  file: l"]
LINES += [
    "stale: warn",
    "unknown: 1",
    "requests:",
    "---",
    "...",
    "\t",
    "# caf\xe9",
    "runtime: @\r",
    "enabled: true ",
    "? a",
    "- b",
    "%YAML 1.2",
]
PLAIN = LINES[:13]


def settings_texts(chance: random.Random, path: str) -> Iterator[str]:
    while True:
        lines = chance.sample(PLAIN, chance.randint(0, 5)) if chance.random() < 0.6 else chance.sample(LINES, chance.randint(0, 4))
        if "log:" in lines and chance.random() < 0.7:
            lines.remove("log:")
            first = next((at for at, line in enumerate(lines) if line.startswith("  ")), len(lines))
            lines.insert(first, "log:")
        text = "\n".join(lines).replace("@", path) + chance.choice(["\n", "\n", "", "\n\n"])
        if text and chance.random() < 0.2:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice([" ", ":", "x", "", "\n", "#", "'"]) + text[at + 1 :]
        yield text


@pytest.mark.parametrize(("shell", "count"), [("dash", 500), ("bash", 100), ("busybox", 100)])
def test_settings_decide_as_python_does(world: World, monkeypatch: pytest.MonkeyPatch, shell: str, count: int) -> None:
    """The same for settings files: what the launcher takes for plain means to Python what the launcher thinks."""
    chance = random.Random(f"settings {shell}")
    words = world.shell(shell)
    at_once = dict.fromkeys(("state", "create"), 0)
    for number, text in zip(range(count), settings_texts(chance, str(world.bin / "runc"))):
        named = number % 3
        file = world.directory / "named.yaml" if named else world.etc / "config.yaml"
        file.write_text(text, encoding="latin-1")
        world.environment.pop("CDI_HOOK_CONFIG", None)
        if named:
            world.environment["CDI_HOOK_CONFIG"] = str(file)
        for argv in (["state", "c1"], ["create", "--bundle", "plain", "c1"], ["create", "--bundle", "asking", "c1"]):
            if world.run(words, argv) == RUNTIME:
                at_once[argv[0]] += 1
                assert world.python(monkeypatch, argv) == RUNTIME, (text, argv)
        file.unlink()
    assert at_once["state"] > count / 10
    assert at_once["create"] > at_once["state"], "a plain file lets a plain create through"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("text", "argv", "whom"),
    [
        (None, "--root /r --log /l --log-format json --systemd-cgroup state c1", RUNTIME),
        (None, "--root=/r delete --force c1", RUNTIME),
        (None, "--version", RUNTIME),
        (None, "", RUNTIME),
        (None, "--log create kill create 9", RUNTIME),
        (None, "--root /r --log /l --log-format json create --bundle plain --pid-file /p --no-new-keyring c1", RUNTIME),
        (None, "create --bundle=asking --pid-file /p c1", PYTHON),
        (None, "run -b asking c1", PYTHON),
        (None, "create --bundle nowhere c1", RUNTIME),
        (None, "create --bundle fifo c1", RUNTIME),
        (None, "restore --bundle plain c1", PYTHON),
        (None, "--bogus state c1", PYTHON),
        ("", "state c1", RUNTIME),
        ("runtime: @\n", "state c1", RUNTIME),
        ("runtime: @", "create --bundle plain c1", RUNTIME),
        ("enabled: false\nruntime: @\n", "create --bundle asking c1", RUNTIME),
        ("# ours\n\nlog:\n  level: warning\n\n  file: /var/log/x\nspecDirs: [/etc/cdi, /run/cdi]\n", "create --bundle plain c1", RUNTIME),
        ("log:\n  level: debug\n", "state c1", PYTHON),
        ("log:\n", "state c1", PYTHON),
        ("requests:\n  environment: [X]\n", "create --bundle plain c1", PYTHON),
        ("runtime: @\nruntime: @\n", "state c1", PYTHON),
        ("runtime: /nowhere/runc\n", "state c1", PYTHON),
        ("runtime: /bin\n", "state c1", PYTHON),
        ("specDirs: [/a,/b]\n", "state c1", PYTHON),
    ],
)
def test_decision(world: World, shell: str, text: str | None, argv: str, whom: int) -> None:
    if text is not None:
        (world.etc / "config.yaml").write_text(text.replace("@", str(world.bin / "runc")))
    assert world.run(world.shell(shell), argv.split()) == whom


ENGINES = [
    ("--root /r --log /l --log-format json state c1", RUNTIME),
    ("--root /r --log /l --log-format json --systemd-cgroup kill --all c1 9", RUNTIME),
    ("--root=/r delete --force c1", RUNTIME),
    ("--root /r --log /l --log-format json create --bundle plain --pid-file /p --no-new-keyring c1", RUNTIME),
    ("--root /r --log /l --log-format json create --bundle asking --pid-file /p c1", PYTHON),
    ("--log-format=json --log /l create --bundle plain --pid-file /p --preserve-fds 1 --console-socket /s c1", RUNTIME),
    ("--rootless true state c1", PYTHON),
    ("--criu /c state c1", PYTHON),
]


@pytest.mark.parametrize("name", ["runsc", "kata-runtime", "sysbox-runc", "nvidia-container-runtime", "my-wrapper"])
@pytest.mark.parametrize(("argv", "whom"), ENGINES)
def test_a_runtime_without_a_table(world: World, name: str, argv: str, whom: int) -> None:
    """What engines send means the same to every runtime that is known, and needs no Python."""
    world.behind(name)
    assert world.run(world.shell("dash"), argv.split()) == whom


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("grep", GREPS)
def test_every_escape_of_the_prefix_is_a_doubt(world: World, shell: str, grep: str) -> None:
    world.launcher.write_text(world.text.replace("/bin/grep -Fqs", f"{GREPS[grep]} -Fqs"))
    assert world.run(world.shell(shell), ["create", "--bundle", "plain", "c1"]) == RUNTIME
    hidden = [name for name in bundles(world) if name.startswith("hidden")]
    assert len(hidden) == 2 * len("cdi.k8s.io")
    assert [world.run(world.shell(shell), ["create", "--bundle", name, "c1"]) for name in hidden] == [PYTHON] * len(hidden)


@pytest.mark.parametrize("shell", SHELLS)
def test_where_the_settings_are(world: World, shell: str) -> None:
    """The variable beats the name; a named file must be there; a dangling default is Python's to judge."""
    words = world.shell(shell)
    link = world.directory / "cdi-runtime-gpu"
    link.symlink_to("cdi-runtime")
    assert world.run([*words[:-1], str(link)], ["state", "c1"]) == PYTHON
    (world.etc / "gpu.yaml").write_text("")
    assert world.run([*words[:-1], str(link)], ["state", "c1"]) == RUNTIME
    world.environment["CDI_HOOK_CONFIG"] = str(world.directory / "missing")
    assert world.run([*words[:-1], str(link)], ["state", "c1"]) == PYTHON
    world.environment["CDI_HOOK_CONFIG"] = ""
    assert world.run(words, ["state", "c1"]) == PYTHON
    del world.environment["CDI_HOOK_CONFIG"]
    (world.etc / "config.yaml").symlink_to("nowhere")
    assert world.run(words, ["state", "c1"]) == PYTHON


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["crun", "krun", "youki"])
def test_other_families(world: World, shell: str, name: str) -> None:
    """Each has its own table: --cgroup-manager takes a value in crun alone, --systemd-log is youki's."""
    (world.bin / name).symlink_to("/bin/true")
    (world.etc / "config.yaml").write_text(f"runtime: {world.bin / name}\n")
    own, others = ("--cgroup-manager create", "--systemd-log") if name != "youki" else ("--systemd-log", "--cgroup-manager create")
    assert world.run(world.shell(shell), [*own.split(), "kill", "c1"]) == RUNTIME
    assert world.run(world.shell(shell), [*others.split(), "kill", "c1"]) == PYTHON


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("path", "whom"),
    [
        ("{bin}", RUNTIME),
        ("/nowhere:{bin}:", RUNTIME),
        ("{loop}:{bin}", RUNTIME),
        ("{loop}", PYTHON),
        (":{bin}", PYTHON),
        ("rel:{bin}", PYTHON),
    ],
)
def test_search_for_the_runtime(world: World, shell: str, path: str, whom: int) -> None:
    """The first on PATH that is not ourselves; an entry that is no absolute path is a doubt."""
    loop = world.directory / "loop"
    loop.mkdir()
    (loop / "runc").symlink_to(world.launcher)
    (loop / "crun").symlink_to(world.launcher)
    world.environment["PATH"] = path.format(bin=world.bin, loop=loop)
    assert world.run(world.shell(shell), ["state", "c1"]) == whom


@pytest.mark.parametrize("shell", SHELLS)
def test_no_loop(world: World, shell: str) -> None:
    """A runtime that is ourselves by any link goes to Python, which refuses it."""
    (world.bin / "crun").symlink_to(world.launcher)
    (world.etc / "config.yaml").write_text(f"runtime: {world.bin / 'crun'}\n")
    assert world.run(world.shell(shell), ["state", "c1"]) == PYTHON


# What a child sees: argv, cwd, descriptors, stdin and environment, as JSON on stdout.
WITNESS = """#!/usr/bin/python3 -IS
import json, os, sys
env = open("/proc/self/environ", "rb").read().decode("latin-1").split("\\0")[:-1]
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
words = open("/proc/self/cmdline", "rb").read().decode("latin-1").split("\\0")[:-1]
print(json.dumps({"words": words, "cwd": os.getcwd(), "stdin": sys.stdin.read(), "env": env, "fds": fds, "umask": os.umask(0)}))
"""
INHERITED = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/root",
    "EMPTY": "",
    "LINES_": "one\ntwo",
    "LD_LIBRARY_PATH": "/opt/containerd/lib:",
    "ENV": "/nowhere",
    "BASH_ENV": "/nowhere",
    "CDPATH": "/",
    "PS4": "$(touch /nowhere)",
    "GREP_OPTIONS": "-v",
    "LC_ALL": "C.UTF-8",
    "take": "mine",
    "name": "mine",
    "line": "mine",
    "_": "/usr/bin/env",
    "TTRPC_ADDRESS": "/run/x",
    "PYTHONPATH": "/nowhere",
}
OWN = {"PWD=/", "IFS= \t\n", "OPTIND=1"}
ODD = {"a.b", "OLDIFS%%"}
CHANGED = {
    # shell: what it adds or changes, names that it drops; both as the launcher's comment says
    "dash": (OWN, ODD),
    "bash": ({*OWN, "SHLVL=0", "PS4=+ "}, {"OLDPWD", "PS4", "_"}),
    "busybox": ({*OWN, "SHLVL=1"}, ODD),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("argv", [["--root", "/r", "state", "*", "a b", "", "$(x)", "--"], ["create", "-b", "plain", "?"]])
def test_nothing_else_changes(world: World, shell: str, argv: list[str]) -> None:
    """The runtime gets argv, cwd, stdin, descriptors, umask and environment as they came, but for what the launcher's comment lists."""
    witness = world.bin / "crun"
    witness.write_text(WITNESS)
    witness.chmod(0o755)
    (world.etc / "config.yaml").write_text(f"runtime: {witness}\n")
    environment = {**INHERITED, "IFS": "/e", "OPTIND": "7", "OLDPWD": "/nowhere", **dict.fromkeys(ODD, "odd")}
    read, write = os.pipe()
    os.set_inheritable(read, True)
    with subprocess.Popen(
        [*world.shell(shell), *argv],
        env=environment,
        cwd=world.directory,
        pass_fds=[read],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        umask=0o027,
    ) as child:
        out, _ = child.communicate(b"what the engine sends")
    os.close(read)
    os.close(write)
    seen = json.loads(out)
    changed, dropped = CHANGED[shell]
    kept = {f"{name}={value}" for name, value in environment.items() if name not in dropped and name not in ("IFS", "OPTIND")}
    assert child.returncode == 0
    assert seen["words"] == ["/usr/bin/python3", "-IS", str(witness), *argv]
    assert (seen["cwd"], seen["stdin"], seen["umask"]) == (str(world.directory), "what the engine sends", 0o027)
    # One more than we gave: the witness looks at its list of descriptors through one.
    assert len(seen["fds"]) == 5
    assert set(seen["fds"]) > {0, 1, 2, read}
    assert sorted(seen["env"]) == sorted(kept | {entry.replace("PWD=/", f"PWD={world.directory}") for entry in changed})


@pytest.mark.parametrize("shell", SHELLS)
def test_unset_path(world: World, shell: str) -> None:
    """Without a PATH the standard directories are searched, and only busybox lets the runtime see them."""
    (world.etc / "config.yaml").write_text(f"runtime: {world.bin / 'crun'}\n")
    (world.bin / "crun").write_text(WITNESS)
    (world.bin / "crun").chmod(0o755)
    done = subprocess.run([*world.shell(shell), "state"], env={}, capture_output=True, check=True, stdin=subprocess.DEVNULL, cwd="/")
    names = {entry.partition("=")[0] for entry in json.loads(done.stdout)["env"]}
    assert names == {"dash": {"PWD"}, "bash": {"PWD", "SHLVL"}, "busybox": {"PWD", "SHLVL", "PATH"}}[shell]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_python_gets(tmp_path: Path, shell: str) -> None:
    """The interpreter is isolated and gets the joined file, the path by which we were called, and argv; blanks in paths are no matter."""
    python = tmp_path / "a 'python'"
    python.write_text(WITNESS)
    python.chmod(0o755)
    launcher = tmp_path / "cdi-runtime"
    launcher.write_text(render(str(python), "/lib dir/hot.pyc", "/nowhere"))
    assert Path(SHELLS[shell][0]).exists()
    done = subprocess.run([*SHELLS[shell], str(launcher), "--bogus", "a b", ""], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    expected = ["/usr/bin/python3", "-IS", str(python), "-I", "-S", "/lib dir/hot.pyc", str(launcher), "--bogus", "a b", ""]
    assert json.loads(done.stdout)["words"] == expected


def test_python_is_gone(tmp_path: Path) -> None:
    """After an upgrade of the system that took our interpreter away: said in words, and only where Python is needed."""
    launcher = tmp_path / "cdi-runtime"
    launcher.write_text(render("/nowhere/python3.1", "/hot.pyc", "/nowhere"))
    done = subprocess.run(["/bin/sh", str(launcher), "--bogus"], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cdi-hook: /nowhere/python3.1: is gone, and this command needs it; install cdi-hook again\n"


def test_shape(world: World) -> None:
    """Short, one read of dash's buffer, and clean for shellcheck."""
    assert len(world.text.splitlines()) < 120
    assert len(world.text) < 8192
    assert "@" not in world.text.replace('"$@"', "")
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, str(world.launcher)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_create_s_options_are_run_s_too() -> None:
    """The launcher reads ``run`` by create's rows; what run alone has goes to Python."""
    for rows in arguments.FAMILIES.values():
        for mine, more in zip(rows["create"], rows["run"]):
            assert set(mine.split()) <= set(more.split())


def test_tool_starts_isolated(tmp_path: Path) -> None:
    """``cdi-hook`` is a script of the given interpreter with -I and -S, or goes by way of sh where a ``#!`` line could not say that."""
    package = tmp_path / "cdi_hook"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys\ndef main():\n    print(sys.flags.isolated, sys.flags.no_site, sys.argv[1:])\n    return 3\n"
    )
    for name in ("python", "a python"):
        python = tmp_path / name
        python.symlink_to("/usr/bin/python3")
        command = [sys.executable, str(ROOT / "packaging/launcher.py"), "--python", str(python), "--tool", str(tmp_path)]
        script = tmp_path / "cdi-hook"
        script.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        done = subprocess.run([str(script), "a b", ""], capture_output=True, check=False, text=True, env={"PYTHONPATH": "/nowhere"})
        assert (done.returncode, done.stdout) == (3, "1 1 ['a b', '']\n")


def test_what_was_seen_is_told(world: World, tmp_path: Path) -> None:
    """Python is told when the launcher has seen a request, and only then."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    world.launcher.write_text(world.text.replace("_cdi_python=/bin/false", f"_cdi_python={python}"))

    def said(*argv: str) -> str:
        return subprocess.run([*world.shell("dash"), *argv], env=world.environment, capture_output=True, text=True, check=True).stdout

    assert said("create", "--bundle", "asking", "c1") == f"-I -S -Xcdi_seen /hot.pyc {world.launcher} create --bundle asking c1\n"
    assert said("restore", "--bundle", "asking", "c1") == f"-I -S /hot.pyc {world.launcher} restore --bundle asking c1\n"
