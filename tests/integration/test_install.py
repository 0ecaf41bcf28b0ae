"""``packaging/install.sh``: what it puts where, what a failure leaves, what an uninstall refuses and what it removes."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
USED = (
    "install.sh: these name cdi-hook, and containers call it again when they end; "
    "undo them first, or leave a stub in its place with --force\n"
)
NO_PIP = "{}: has neither pip nor venv; apt-get install python3-venv, or name another with --python PATH"


class Prefix:
    """A prefix with a blank in its name, and an empty system around it, where an uninstall looks for engines."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "a prefix"
        self.home = self.path / "lib/cdi-hook"
        self.runtime = self.path / "bin/cdi-runtime"
        self.tool = self.path / "bin/cdi-hook"
        self.system = directory / "system"
        self.system.mkdir()

    def install(self, *words: str, source: Path = ROOT, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(source / "packaging/install.sh"), "--prefix", str(self.path), *words]
        environment = {**os.environ, "CDI_HOOK_SYSTEM_ROOT": str(self.system)}
        done = subprocess.run(command, env=environment, cwd=self.directory, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir() if path.is_dir() and not path.is_symlink())

    def everything(self) -> dict[str, str]:
        """Every path below the prefix, with what a link points to: to see that nothing changed."""
        return {str(path): os.readlink(path) if path.is_symlink() else "" for path in sorted(self.path.rglob("*"))}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Prefix:
    """One installation for the tests that only look at it, or add to it."""
    prefix = Prefix(tmp_path_factory.mktemp("install"))
    done = prefix.install()
    assert done.stdout.endswith(
        f"is installed: {prefix.runtime} stands in front of runc and crun, {prefix.tool} is its tool.\n",
    )
    return prefix


@pytest.fixture
def copied(installed: Prefix, tmp_path: Path) -> Prefix:
    """A copy of the installation that a test may spoil; only the absolute paths inside still name the first one."""
    prefix = Prefix(tmp_path)
    shutil.copytree(installed.path, prefix.path, symlinks=True)
    (prefix.home / "made").write_text((prefix.home / "made").read_text().replace(str(installed.path), str(prefix.path)))
    return prefix


def test_layout(installed: Prefix) -> None:
    version = os.readlink(installed.home / "current")
    assert os.readlink(installed.runtime) == "../lib/cdi-hook/current/bin/cdi-runtime"
    assert os.readlink(installed.tool) == "../lib/cdi-hook/current/bin/cdi-hook"
    home = installed.home / version
    assert sorted(path.name for path in home.iterdir()) == ["bin", "hot.pyc", "lib"]
    assert f"_cdi_hot='{home}/hot.pyc'" in installed.runtime.read_text(), "absolute and versioned: a switch meanwhile is no matter"
    assert str(home / "lib") in installed.tool.read_text()
    for module in (home / "lib").rglob("*.py"):
        assert list((module.parent / "__pycache__").glob(f"{module.stem}.cpython-*.pyc")), f"{module} is not compiled"


def test_nothing_names_where_it_was_built(installed: Prefix) -> None:
    done = subprocess.run(["grep", "-rlF", "/.new-", str(installed.path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_both_programs_start(installed: Prefix) -> None:
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    version = subprocess.run([str(installed.runtime), "--version"], env=environment, capture_output=True, text=True, check=True)
    assert version.stdout.startswith("runc version ")
    by_python = subprocess.run(
        [str(installed.runtime), "--bogus", "--version"], env=environment, capture_output=True, text=True, check=False, cwd="/"
    )
    assert "flag provided but not defined: -bogus" in by_python.stdout + by_python.stderr
    assert subprocess.run([str(installed.tool), "--help"], env=environment, capture_output=True, check=False).returncode == 0


def test_second_install_switches_and_third_removes_the_first(installed: Prefix) -> None:
    """Meanwhile the launcher is called without a break and never fails."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    first = os.readlink(installed.home / "current")
    statuses: set[int] = set()
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            for words in (["--version"], ["--bogus", "--version"]):
                called = subprocess.run([str(installed.runtime), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
                statuses.add(called.returncode if b"bogus" not in called.stderr else 0)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        installed.install()
        second = os.readlink(installed.home / "current")
        assert installed.versions() == sorted([first, second])
        installed.install()
    finally:
        done.set()
        caller.join()
    third = os.readlink(installed.home / "current")
    assert len({first, second, third}) == 3
    assert installed.versions() == sorted([second, third])
    assert statuses == {0}


def test_failed_install_changes_nothing(copied: Prefix, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("cdi_hook", "packaging", "hooks.d"):
        shutil.copytree(ROOT / name, source / name)
    (source / "cdi_hook/entrypoints/wrapper.py").write_text("this is no Python\n")
    before = copied.everything()
    done = copied.install(source=source, status=1)
    assert "SyntaxError" in done.stderr
    assert copied.everything() == before


def test_first_install_that_fails_leaves_nothing(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    source = tmp_path / "source"
    for name in ("cdi_hook", "packaging", "hooks.d"):
        shutil.copytree(ROOT / name, source / name)
    (source / "packaging/requirements.txt").write_text("./there-is-no-such-thing\n")
    done = prefix.install(source=source, status=1)
    assert done.stderr.endswith("install.sh: pip could not install the dependencies\n")
    assert not prefix.path.exists()


def test_foreign_program_stays(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    prefix.tool.parent.mkdir(parents=True)
    prefix.tool.write_text("not ours")
    done = prefix.install(status=1)
    assert done.stderr == f"install.sh: {prefix.tool}: is not ours; move it away or choose another --prefix\n"
    assert prefix.everything() == {str(prefix.tool.parent): "", str(prefix.tool): ""}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 127", "{}: is older than Python 3.9"),
        ('case "$*" in *"-m pip"* | *ensurepip*) exit 1 ;; esac\nexec /usr/bin/python3 "$@"', NO_PIP),
    ],
)
def test_unfit_interpreter(tmp_path: Path, script: str, message: str) -> None:
    prefix = Prefix(tmp_path)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = prefix.install("--python", str(python), status=1)
    assert done.stderr == f"install.sh: {message.format(python)}\n"
    assert not prefix.path.exists()


def test_missing_interpreter(tmp_path: Path) -> None:
    done = Prefix(tmp_path).install("--python=/nowhere/python3", status=1)
    expected = "install.sh: /nowhere/python3: there is no interpreter; apt-get install python3, or name another with --python PATH\n"
    assert done.stderr == expected


@pytest.mark.parametrize("words", [["--bogus"], ["--force"], ["--prefix"], ["--prefix", ""], ["here"]])
def test_wrong_usage(tmp_path: Path, words: list[str]) -> None:
    done = Prefix(tmp_path).install(*words, status=2)
    assert done.stdout == ""
    assert done.stderr.startswith("sh packaging/install.sh [--prefix DIR] [--python PATH]\n")


def test_uninstall_removes_everything(copied: Prefix) -> None:
    """Links of other handlers to us go too; a program that is not ours, and the directory that holds it, stay."""
    (copied.path / "bin/cdi-runtime-gpu").symlink_to("cdi-runtime")
    other = copied.path / "bin/other"
    other.write_text("")
    index = copied.system / "run/cdi-hook"
    index.mkdir(parents=True)
    done = copied.install("--uninstall")
    assert (done.stdout, done.stderr) == (f"cdi-hook is removed from {copied.path}.\n", "")
    assert copied.everything() == {str(other.parent): "", str(other): ""}
    assert not index.exists()
    other.unlink()
    other.parent.rmdir()
    assert copied.install("--uninstall").stdout == f"cdi-hook is not installed below {copied.path}.\n"


def test_uninstall_removes_the_directories_it_made(copied: Prefix) -> None:
    copied.install("--uninstall")
    assert not copied.path.exists()


USERS = {
    "containerd's settings": ("etc/containerd/config.toml", 'BinaryName = "{runtime}"'),
    "containerd's drop-in": ("etc/containerd/conf.d/10-cdi.toml", 'BinaryName = "{runtime}"'),
    "CRI-O": ("etc/crio/crio.conf.d/99-cdi.conf", 'runtime_path = "{runtime}"'),
    "podman": ("etc/containers/containers.conf.d/cdi.conf", 'cdi = ["{runtime}-gpu"]'),
    "hooks": ("usr/share/containers/oci/hooks.d/cdi.json", '{{"hook": {{"path": "{tool}"}}}}'),
    "docker": ("etc/docker/daemon.json", '{{"runtimes": {{"cdi": {{"path": "{runtime}"}}}}}}'),
    "a user's podman": ("home/u/.config/containers/containers.conf", 'cdi = ["{runtime}"]'),
    "a containerd shim": ("run/containerd/io.containerd.runtime.v2.task/k8s.io/c1/runtime", "{runtime}"),
    "a docker container": ("run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/c1/options.json", '"{runtime}"'),
    "a bundle with our hook": ("run/containers/storage/overlay-containers/c1/userdata/config.json", '{{"path":"{tool}"}}'),
    "runc's state": ("run/runc/c1/state.json", '{{"path":"{tool}"}}'),
    "crun's state": ("run/crun/c1/config.json", '{{"path":"{tool}"}}'),
}


@pytest.mark.parametrize("user", USERS)
def test_uninstall_refuses_while_somebody_names_us(copied: Prefix, user: str) -> None:
    name, text = USERS[user]
    file = copied.system / name
    file.parent.mkdir(parents=True)
    file.write_text(text.format(runtime=copied.runtime, tool=copied.tool))
    before = copied.everything()
    done = copied.install("--uninstall", status=1)
    assert done.stderr == f"{file}\n{USED}"
    assert copied.everything() == before


def test_imports_of_containerd_are_followed(copied: Prefix) -> None:
    (copied.system / "etc/containerd").mkdir(parents=True)
    elsewhere = copied.system / "elsewhere.d"
    elsewhere.mkdir()
    (elsewhere / "a.toml").write_text(f'BinaryName = "{copied.runtime}"')
    (copied.system / "etc/containerd/config.toml").write_text(f'version = 2\nimports = ["{elsewhere}/*.toml"]\n')
    assert copied.install("--uninstall", status=1).stderr == f"{elsewhere}/a.toml\n{USED}"


def test_a_conmon_names_us(copied: Prefix) -> None:
    """podman's and CRI-O's containers have a conmon that knows the runtime's path; other processes do not count."""
    for pid, name in (("12", "conmon"), ("13", "vi")):
        process = copied.system / "proc" / pid
        process.mkdir(parents=True)
        (process / "comm").write_text(f"{name}\n")
        (process / "cmdline").write_bytes(f"{name}\0-r\0{copied.runtime}\0-b\0/b\0".encode())
    assert copied.install("--uninstall", status=1).stderr == f"process 12 (conmon)\n{USED}"


def test_rootfs_of_a_container_is_not_searched(copied: Prefix) -> None:
    file = copied.system / "run/containerd/io.containerd.runtime.v2.task/k8s.io/c1/rootfs/config.json"
    file.parent.mkdir(parents=True)
    file.write_text(str(copied.runtime))
    copied.install("--uninstall")
    assert not copied.path.exists()


def test_force_leaves_a_stub(copied: Prefix) -> None:
    """Two lines that start the real runtime, for each name with its own settings; gone with the next uninstall that may."""
    (copied.path / "bin/cdi-runtime-gpu").symlink_to("cdi-runtime")
    runtime = copied.directory / "it's runc"
    runtime.write_text('#!/bin/sh\necho real "$@"\n')
    runtime.chmod(0o755)
    settings = copied.system / "etc/cdi-hook"
    settings.mkdir(parents=True)
    (settings / "config.yaml").write_text(f"enabled: true\nruntime: {str(runtime).replace(' ', '-').replace(chr(39), '')} # quiet\n")
    (settings / "gpu.yaml").write_text("runtime: /bin/true\n")
    plain = copied.directory / "its-runc"
    plain.symlink_to(runtime.name)
    engine = copied.system / "etc/docker/daemon.json"
    engine.parent.mkdir(parents=True)
    engine.write_text(str(copied.runtime))
    done = copied.install("--uninstall", "--force")
    assert f"{copied.runtime} now only starts {plain}; remove it with --uninstall when nothing names it any more.\n" in done.stdout
    assert copied.runtime.read_text() == f"#!/bin/sh\nexec '{plain}' \"$@\" # left by the uninstall of cdi-hook\n"
    assert (copied.path / "bin/cdi-runtime-gpu").read_text() == "#!/bin/sh\nexec '/bin/true' \"$@\" # left by the uninstall of cdi-hook\n"
    assert not copied.tool.exists()
    assert list(copied.home.iterdir()) == [copied.home / "made"]
    called = subprocess.run([str(copied.runtime), "a b", ""], capture_output=True, text=True, check=True)
    assert called.stdout == "real a b \n"
    engine.unlink()
    assert copied.install("--uninstall").stdout == f"cdi-hook is removed from {copied.path}.\n"
    assert not copied.path.exists()


def test_tree_stays_clean(installed: Prefix) -> None:
    assert not (ROOT / "packaging/__pycache__").exists()
    assert not (ROOT / "build").exists()
    assert not list(ROOT.glob("*.egg-info"))
