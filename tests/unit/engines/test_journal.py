"""Undo in every order, after every kind of change, and after a crash; the files that are never edited."""

from __future__ import annotations

import itertools
import json
import os
import posix
from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook import engines
from cdi_hook.engines import base, files, journal
from cdi_hook.engines.base import Request, Site
from cdi_hook.errors import CdiError, EngineError

from .conftest import Configure, tree, write
from .test_containerd import CONFIG, PLAIN

Undo = Callable[..., list[str]]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_handlers_in_one_file_in_any_order(host: Path, configure: Configure, undo: Undo, order: tuple[str, str]) -> None:
    """The bytes from before both come back."""
    write(host, CONFIG, PLAIN)
    was = tree(host)
    configure("containerd", handler="a", set_default=True)
    configure("containerd", handler="b")
    for handler in order:
        undo("containerd", handler=handler)
    assert tree(host) == was
    assert not (host / "var/lib/cdi-hook/journal.json").exists()


def test_several_runs_of_one_handler_are_one_undo(host: Path, configure: Configure, undo: Undo) -> None:
    """Each run changed something."""
    write(host, CONFIG, PLAIN)
    was = tree(host)
    configure("containerd")
    configure("containerd", pod_annotations=True)
    configure("containerd", set_default=True)
    undo("containerd")
    assert tree(host) == was


def edit(path: Path, old: str = "", new: str = "") -> None:
    """What others do to a file: something unimportant, or a replacement."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new) if old else text.replace("{", "{\n", 1), encoding="utf-8")


def docker_runtimes(path: Path) -> tuple[object, list[str]]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return values.get("default-runtime"), list(values.get("runtimes", {}))


@pytest.mark.parametrize("old", [None, "runc"])
def test_the_default_from_before_all_runs_comes_back(host: Path, site: Site, configure: Configure, undo: Undo, old: str | None) -> None:
    """Not the handler itself, which was the default already when the second run came; others have edited the file."""
    config = write(host, "/etc/docker/daemon.json", json.dumps({"default-runtime": old} if old else {"a": 1}))
    configure("docker", set_default=True)
    edit(config, site.wrapper, "/opt/old/cdi-runtime")
    configure("docker")
    edit(config)
    undo("docker")
    assert docker_runtimes(config) == (old, [])


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_default_that_is_gone_does_not_come_back(host: Path, configure: Configure, undo: Undo, order: tuple[str, str]) -> None:
    """The second handler found the first one as the default."""
    config = write(host, "/etc/docker/daemon.json", '{"default-runtime": "runc"}')
    for handler in ("a", "b"):
        configure("docker", handler=handler, set_default=True)
    edit(config)
    undo("docker", handler=order[0])
    assert docker_runtimes(config) == ("b" if order[0] == "a" else "a", [order[1]])
    undo("docker", handler=order[1])
    assert docker_runtimes(config) == ("runc", [])


@pytest.mark.parametrize("order", list(itertools.permutations(("a", "b", "precreate"))), ids="-".join)
def test_handlers_and_a_hook_in_any_order(host: Path, configure: Configure, undo: Undo, order: tuple[str, ...]) -> None:
    """The files and the directories from before all of them come back."""
    for name in ("etc/containers", "var/lib"):
        (host / name).mkdir(parents=True)
    was = sorted(host.rglob("*"))
    options: dict[str, dict[str, str]] = {"a": {"handler": "a"}, "b": {"handler": "b"}, "precreate": {"stage": "precreate"}}
    for chosen in options.values():
        configure("podman", **chosen)
    for name in order:
        undo("podman", **options[name])
    assert sorted(host.rglob("*")) == was


def test_our_settings_stay_while_another_engine_needs_them(host: Path, configure: Configure, undo: Undo) -> None:
    """The file with the runtime goes with the last one."""
    write(host, CONFIG, PLAIN)
    was = tree(host)
    configure("containerd")
    configure("podman")
    undo("containerd")
    assert (host / "etc/cdi-hook/config.yaml").exists()
    undo("podman")
    assert tree(host) == was


def test_a_link_in_the_place_of_the_file(host: Path, configure: Configure, undo: Undo) -> None:
    """Replacing the link would leave our handler in the file behind it."""
    config = write(host, "/etc/docker/daemon.json", "{}")
    configure("docker")
    real = config.rename(host / "etc/real.json")
    config.symlink_to(real)
    was = tree(host)
    with pytest.raises(EngineError) as caught:
        undo("docker")
    assert str(caught.value) == f"{config}: is a symbolic link to {real} now; put the file itself in its place and try again"
    assert config.is_symlink()
    assert tree(host) == was
    real.rename(config)
    undo("docker")
    assert config.read_text(encoding="utf-8") == "{}"


def test_changed_settings_stay(host: Path, site: Site, configure: Configure, undo: Undo) -> None:
    """Without the line that we wrote."""
    configure("docker")
    with open(site.settings, "a", encoding="utf-8") as stream:
        stream.write("specDirs: [/etc/cdi]\n")
    assert undo("docker") == [f"{site.settings}: was changed since and stays, without the runtime that we wrote"]
    assert (
        Path(site.settings).read_text(encoding="utf-8") == "# Settings of cdi-hook, written by cdi-hook configure.\nspecDirs: [/etc/cdi]\n"
    )


def test_undo_without_a_journal(host: Path, site: Site, configure: Configure, undo: Undo) -> None:
    """What is ours is found in the engine's file."""
    config = write(host, CONFIG, PLAIN)
    configure("containerd")
    os.unlink(f"{site.state}/journal.json")
    assert undo("containerd") == [f"{config}: is not in the journal; only our part is taken out"]
    assert config.read_text(encoding="utf-8") == PLAIN


def test_undo_of_hooks_without_a_journal(host: Path, site: Site, configure: Configure, undo: Undo) -> None:
    """They are found in the engine's hooks directories, and the directory of our own is no longer named."""
    file = write(host, "/etc/containers/containers.conf.d/99-cdi-hook.conf", "[network]\n")
    for stage in ("precreate", "createRuntime"):
        configure("podman", stage=stage)
    os.unlink(f"{site.state}/journal.json")
    hook = f"{host}/etc/containers/cdi-hook-hooks.d/cdi-hook-precreate.json"
    assert undo("podman", stage="precreate") == [f"{path}: is not in the journal; only our part is taken out" for path in (hook, file)]
    assert file.read_text(encoding="utf-8") == "[network]\n"
    shared = host / "usr/share/containers/oci/hooks.d"
    assert [path.name for path in shared.iterdir()] == ["cdi-hook-createRuntime.json"]
    undo("podman", stage="createRuntime")
    assert list(shared.iterdir()) == []


def test_undo_of_nothing(host: Path, site: Site) -> None:
    """Changes nothing."""
    write(host, CONFIG, PLAIN)
    assert journal.Undo(site, engines.load("containerd"), Request()).changes == []


def test_the_journal_is_private(site: Site, configure: Configure) -> None:
    """It holds whole configuration files."""
    configure("docker")
    path = Path(site.state, "journal.json")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (entry,) = json.loads(path.read_text(encoding="utf-8"))["entries"]
    assert (entry["engine"], entry["handler"], entry["old"]) == ("docker", "cdi", {"default": None})


def test_a_damaged_journal_is_an_error(site: Site, configure: Configure) -> None:
    """Nothing is written then: undo would not work."""
    Path(site.state).mkdir(parents=True)
    path = Path(site.state, "journal.json")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        configure("docker")
    assert str(caught.value).startswith(f"{path}: cannot be read: ")


def test_killed_before_the_files_were_written(
    host: Path, site: Site, configure: Configure, undo: Undo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is there first, so undo finds files that are as they were, and forgets the entry."""
    write(host, CONFIG, PLAIN)
    was = tree(host)

    def killed(changes: list[base.Change]) -> None:
        if any(change.kind == "engine" and change.path.endswith("config.toml") for change in changes):
            raise KeyboardInterrupt
        real(changes)

    real = files.write_all
    monkeypatch.setattr(files, "write_all", killed)
    with pytest.raises(KeyboardInterrupt):
        configure("containerd")
    monkeypatch.setattr(files, "write_all", real)
    undo("containerd")
    assert tree(host) == was
    assert journal.load(site) == []


def test_a_failed_write_takes_the_others_back(host: Path, site: Site, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the second rename fails."""
    config = write(host, CONFIG, PLAIN)
    was = tree(host)
    real = os.rename

    def rename(old: str, new: str) -> None:
        if new == str(config):
            raise OSError(30, "Read-only file system", old)
        real(old, new)

    monkeypatch.setattr(posix, "rename", rename)
    with pytest.raises(EngineError) as caught:
        configure("containerd")
    assert str(caught.value) == f"{config}: cannot be written: the file system is read-only"
    assert tree(host) == was
    assert not (host / "etc/cdi-hook").exists()
    assert journal.load(site) == []


def test_a_file_that_changed_after_the_plan(host: Path, site: Site) -> None:
    """Between reading and writing somebody else wrote: their change is not lost."""
    config = write(host, CONFIG, PLAIN)
    engine = engines.load("containerd")
    plan = engine.plan(site, Request(), site.wrapper)
    config.write_text(PLAIN + "# theirs\n", encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        journal.apply(site, engine, Request(), plan)
    assert str(caught.value) == f"{config}: was changed meanwhile; look at it and try again"
    assert config.read_text(encoding="utf-8") == PLAIN + "# theirs\n"
    assert journal.load(site) == []


def test_two_undos_at_once(host: Path, site: Site, configure: Configure) -> None:
    """The second one worked from a journal that is no longer true."""
    write(host, CONFIG, PLAIN)
    configure("containerd")
    first, second = (journal.Undo(site, engines.load("containerd"), Request()) for _ in range(2))
    first.write()
    with pytest.raises(EngineError, match="another cdi-hook has changed the journal meanwhile; try again"):
        second.write()


def _symlink(path: Path) -> None:
    path.rename(f"{path}.real")
    path.symlink_to(f"{path}.real")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


ENGINE_FILES = {
    "containerd": (CONFIG, PLAIN),
    "docker": ("/etc/docker/daemon.json", "{}\n"),
    "podman": ("/etc/containers/containers.conf", "[engine]\n"),
    "crio": ("/etc/crio/crio.conf", "[crio]\n"),
}
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken": (lambda path: path.write_text("{[", encoding="utf-8"), "{path}:1: is not "),
    "not UTF-8": (lambda path: path.write_bytes(b"\n\xff"), "{path}:2: is not UTF-8 text"),
    "5 MB": (lambda path: path.write_bytes(b"#" * 5_000_000), "{path}: has 5000000 bytes; files of more than 1048576 are not edited"),
    "symlinked": (_symlink, "{path}: is a symbolic link to {path}.real; name the file itself: --config {path}.real"),
    "missing": (os.unlink, "{path}: --config: is missing; name the file that "),
    "a directory": (_directory, "{path}: is not a regular file"),
}


@pytest.mark.parametrize("engine", sorted(ENGINE_FILES))
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_files_that_are_not_edited(host: Path, site: Site, configure: Configure, engine: str, fault: str) -> None:
    """A clear refusal, and every file as it was."""
    name, text = ENGINE_FILES[engine]
    path = write(host, name, text)
    spoil, message = FAULTS[fault]
    spoil(path)
    was = tree(host)
    with pytest.raises(CdiError) as caught:
        configure(engine, config=str(path))
    assert str(caught.value).startswith(message.format(path=path))
    assert tree(host) == was
    assert not Path(site.state, "journal.json").exists()


@pytest.mark.parametrize("engine", ["containerd", "docker", "podman"])
def test_a_read_only_file(host: Path, configure: Configure, engine: str) -> None:
    """Root could write it, but somebody wanted it left alone."""
    name, text = ENGINE_FILES[engine]
    path = write(host, name, text)
    path.chmod(0o444)
    was = tree(host)
    with pytest.raises(EngineError) as caught:
        configure(engine, config=str(path))
    assert str(caught.value) == f"{path}: is read-only (mode 0444); is it made by another program? then change it there, else chmod u+w"
    assert tree(host) == was
