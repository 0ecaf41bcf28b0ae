"""Which settings, link and real runtime a handler gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdi_hook.engines import wiring
from cdi_hook.engines.base import Request, Site, check_handler
from cdi_hook.engines.docker import ENGINE
from cdi_hook.errors import CdiError, EngineError, RuntimeNotFoundError, SettingsError

from .conftest import program, write


def settings(host: Path, text: str, name: str = "config") -> Path:
    return write(host, f"/etc/cdi-hook/{name}.yaml", text)


def test_an_unset_runtime_is_written(host: Path, site: Site) -> None:
    """The engine's own, absolute; the file stays short and plain."""
    wired = wiring.wire(site, Request(), ENGINE)
    assert (wired.wrapper, wired.runtime) == (site.wrapper, f"{host}/bin/runc")
    assert [change.new for change in wired.changes] == [
        f"# Settings of cdi-hook, written by cdi-hook configure.\nruntime: {host}/bin/runc\n".encode()
    ]


def test_other_settings_stay(host: Path, site: Site) -> None:
    """Comments too, whether or not the last line ends."""
    settings(host, "# mine\nspecDirs: [/etc/cdi]  # one\nlog:\n  level: debug")
    (change,) = wiring.wire(site, Request(), ENGINE).changes
    assert change.new == f"# mine\nspecDirs: [/etc/cdi]  # one\nlog:\n  level: debug\nruntime: {host}/bin/runc\n".encode()


def test_a_set_runtime_stays(host: Path, site: Site) -> None:
    """And a note says when the engine itself runs another one."""
    settings(host, f"runtime: {host}/bin/crun\n")
    wired = wiring.wire(site, Request(), ENGINE)
    assert (wired.changes, wired.runtime) == ([], f"{host}/bin/crun")
    assert wired.notes == [
        f"docker itself runs {host}/bin/runc; the handler cdi will run {host}/bin/crun, which {site.settings} states "
        f"(another one for this handler: --runtime {host}/bin/runc)"
    ]


def test_another_runtime_gets_a_link_and_a_file(host: Path, site: Site) -> None:
    """A copy of the common settings, with the other runtime."""
    settings(host, f"# mine\nruntime: {host}/bin/runc\nspecDirs: [/etc/cdi]\n")
    wired = wiring.wire(site, Request(handler="gpu", runtime=f"{host}/bin/crun"), ENGINE)
    assert wired.wrapper == f"{host}/bin/cdi-runtime-gpu"
    file, link = wired.changes
    assert (file.path, file.new) == (f"{host}/etc/cdi-hook/gpu.yaml", f"# mine\nruntime: {host}/bin/crun\nspecDirs: [/etc/cdi]\n".encode())
    assert (link.path, link.new, link.link) == (f"{host}/bin/cdi-runtime-gpu", b"cdi-runtime", True)


def test_a_named_handler_with_a_runtime_comes_first(host: Path, site: Site) -> None:
    """Its runtime does not become the one of all handlers, which are configured later."""
    wired = wiring.wire(site, Request(handler="gpu", runtime=f"{host}/bin/crun"), ENGINE)
    assert [change.path for change in wired.changes] == [f"{host}/etc/cdi-hook/gpu.yaml", f"{host}/bin/cdi-runtime-gpu"]
    wired = wiring.wire(site, Request(runtime=f"{host}/bin/crun"), ENGINE)
    assert [change.path for change in wired.changes] == [f"{host}/etc/cdi-hook/config.yaml"]


def test_a_handler_with_a_file_gets_the_link(host: Path, site: Site) -> None:
    """Somebody wrote NAME.yaml: the handler is meant to read it."""
    settings(host, f"runtime: {host}/bin/crun\n", "gpu")
    wired = wiring.wire(site, Request(handler="gpu"), ENGINE)
    assert ([change.path for change in wired.changes], wired.runtime) == ([f"{host}/bin/cdi-runtime-gpu"], f"{host}/bin/crun")


def test_settings_that_cannot_be_edited(host: Path, site: Site) -> None:
    """A flow mapping: appending a line would break it."""
    file = settings(host, "{specDirs: [/etc/cdi]}\n")
    with pytest.raises(SettingsError) as caught:
        wiring.wire(site, Request(), ENGINE)
    assert str(caught.value).startswith(f"{file}: ")


def test_no_runtime_at_all(host: Path, site: Site) -> None:
    """Said at once, rather than by the first container."""
    for name in ("runc", "crun"):
        (host / "bin" / name).unlink()
    with pytest.raises(RuntimeNotFoundError) as caught:
        wiring.wire(site, Request(), ENGINE)
    assert str(caught.value) == "--runtime: neither runc nor crun is on PATH; name the real runtime: --runtime /path/to/it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/runc", "--runtime: /nowhere/runc is not a program that can be run"),
        ("@/bin/cdi-runtime", "--runtime: @/bin/cdi-runtime is the wrapper itself; name the real runtime, such as /usr/sbin/runc"),
        ("@/bin/loop", "--runtime: @/bin/loop is the wrapper itself; name the real runtime, such as /usr/sbin/runc"),
    ],
)
def test_runtimes_that_are_refused(host: Path, site: Site, name: str, message: str) -> None:
    """A wrapper behind the wrapper would call itself for ever."""
    (host / "bin/loop").symlink_to("cdi-runtime")
    with pytest.raises(RuntimeNotFoundError) as caught:
        wiring.wire(site, Request(runtime=name.replace("@", str(host))), ENGINE)
    assert str(caught.value) == message.replace("@", str(host))


def test_a_file_in_the_place_of_the_link(host: Path, site: Site) -> None:
    """Is not overwritten."""
    settings(host, f"runtime: {host}/bin/runc\n")
    program(host / "bin/cdi-runtime-gpu")
    with pytest.raises(EngineError, match="is in the way: it is no link to"):
        wiring.wire(site, Request(handler="gpu", runtime=f"{host}/bin/crun"), ENGINE)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x" * 64, "config", "a\n", "runc", "crun", "io.containerd.runc.v2"])
def test_names_that_no_handler_can_have(name: str) -> None:
    """They become file names and TOML keys."""
    with pytest.raises(CdiError):
        check_handler(name)


@pytest.mark.parametrize("name", ["cdi", "nvidia-cdi", "gpu.a100", "A_1", "x" * 63])
def test_names_that_a_handler_can_have(name: str) -> None:
    """RuntimeClass allows a part of these."""
    check_handler(name)
