"""podman's drop-in, its hooks, and a plain user's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cdi_hook.diagnostics import doctor
from cdi_hook.engines import hooksd, journal, podman
from cdi_hook.engines.base import Request, Site
from cdi_hook.errors import EngineError

from .conftest import Configure, tree, write

DROPIN = "/etc/containers/containers.conf.d/99-cdi-hook.conf"
HEAD = "# Written by cdi-hook configure; taken out by: cdi-hook unconfigure podman\n"


def read(host: Path, path: str) -> str:
    return Path(f"{host}{path}").read_text(encoding="utf-8").replace(str(host), "@")


def test_a_handler(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """The runtime, and podman's whole list of runtimes that can log JSON."""
    was = tree(host)
    configure("podman")
    assert read(host, DROPIN) == (
        HEAD + '\n[engine.runtimes]\n  cdi = ["@/bin/cdi-runtime"]\n\n[engine]\n'
        '  runtime_supports_json = ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail", "cdi", "cdi-runtime"]\n'
    )
    assert not configure("podman").changes
    undo("podman")
    assert tree(host) == was
    assert not Path(f"{host}{DROPIN}").parent.exists()


def test_lists_of_other_files_are_kept(host: Path, configure: Configure) -> None:
    """The key replaces podman's default, so what another file says goes into our list."""
    write(host, "/etc/containers/containers.conf", '[engine]\nruntime = "crun"\nruntime_supports_json = ["crun", "acme"]\n')
    configure("podman", set_default=True)
    text = read(host, DROPIN)
    assert '  runtime_supports_json = ["crun", "acme", "cdi", "cdi-runtime"]\n' in text
    assert '  runtime = "cdi"\n' in text


def test_two_handlers_share_the_drop_in(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """Taken out in either order, and the second has another real runtime: a link and a settings file of its own."""
    was = tree(host)
    configure("podman", handler="b")
    configure("podman", handler="a", runtime=f"{host}/bin/runc")
    text = read(host, DROPIN)
    assert '  a = ["@/bin/cdi-runtime-a"]\n  b = ["@/bin/cdi-runtime"]\n' in text
    assert '"b", "cdi-runtime", "a", "cdi-runtime-a"]' in text
    assert (host / "bin/cdi-runtime-a").readlink() == Path("cdi-runtime")
    assert read(host, "/etc/cdi-hook/a.yaml").endswith("runtime: @/bin/runc\n")
    undo("podman", handler="b")
    after = read(host, DROPIN)
    assert ("b =" in after, '"a"' in after) == (False, True)
    undo("podman", handler="a")
    assert tree(host) == was
    assert not (host / "bin/cdi-runtime-a").exists()


def test_a_named_file_is_edited_in_place(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """With CONTAINERS_CONF podman reads no drop-in."""
    text = '# mine\n[engine]\nruntime = "runc"  # old\nruntime_supports_json = ["runc"]\n[engine.runtimes]\nrunc = ["/usr/sbin/runc"]\n'
    file = write(host, "/my.conf", text)
    configure("podman", config=str(file), set_default=True)
    assert read(host, "/my.conf") == (
        '# mine\n[engine]\nruntime = "cdi"  # old\nruntime_supports_json = ["runc", "cdi", "cdi-runtime"]\n'
        '[engine.runtimes]\ncdi = ["@/bin/cdi-runtime"]\nrunc = ["/usr/sbin/runc"]\n'
    )
    file.write_text(file.read_text(encoding="utf-8") + "[network]\n", encoding="utf-8")
    assert undo("podman", config=str(file)) == [f"{file}: was changed by others since; only our part is taken out"]
    assert read(host, "/my.conf") == text + "[network]\n"


def test_a_precreate_hook_has_a_directory_of_podmans_own(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """CRI-O does not start when it finds one in the shared directory."""
    was = tree(host)
    configure("podman", stage="precreate")
    hooks = '["@/usr/share/containers/oci/hooks.d", "@/etc/containers/cdi-hook-hooks.d"]'
    assert read(host, DROPIN) == HEAD + f"\n[engine]\n  hooks_dir = {hooks}\n"
    text = read(host, "/etc/containers/cdi-hook-hooks.d/cdi-hook-precreate.json")
    assert '"path": "@/bin/cdi-hook"' in text
    assert not configure("podman", stage="precreate").changes
    undo("podman", stage="precreate")
    assert tree(host) == was


def test_a_hook_is_called_for_what_the_settings_ask(host: Path, site: Site) -> None:
    """Their annotations, and themselves when they are not in the usual place: a hook gets no environment but its file's."""
    for settings, more in ((Site.settings, []), ("/x/config.yaml", ["CDI_HOOK_CONFIG=/x/config.yaml"])):
        own = replace(site, settings=settings, prefixes=("acme.com/", "a-b.org/"))
        (change,) = hooksd.install(own, "precreate", f"{host}/hooks")
        hook = json.loads(change.new or b"")
        assert hook["when"] == {"annotations": {r"^(acme\.com/|a\-b\.org/)": ".*"}}
        assert hook["hook"]["env"] == ["PATH=/bin", *more]


def test_a_hook_beside_a_named_file(host: Path, site: Site, configure: Configure) -> None:
    """Its directory too, and it is there before the configuration names it."""
    file = write(host, "/here/my.conf", "[engine]\n")
    plan = configure("podman", config=str(file), stage="precreate")
    hook = f"{host}/here/cdi-hook-hooks.d/cdi-hook-precreate.json"
    assert [change.path for change in plan.changes] == [hook, str(file)]
    report = doctor.examine(site, {"podman": str(file)})
    assert [found["file"] for found in report["hooks"]] == [hook]


ADDED = [
    pytest.param({}, '"cdi-runtime"]', '"cdi-runtime", "mine"]', 'runtime_supports_json = [@, "mine"]\n', id="runtimes that log JSON"),
    pytest.param({"stage": "precreate"}, 'hooks.d"]', 'hooks.d", "/mine"]', 'hooks_dir = ["/a", "/mine"]\n', id="hooks directories"),
]


@pytest.mark.parametrize(("options", "old", "new", "left"), ADDED)
def test_what_others_add_to_our_lists_stays(
    host: Path, configure: Configure, undo: Callable[..., list[str]], options: dict[str, str], old: str, new: str, left: str
) -> None:
    """Undo takes only our entries out, and a list that was ours altogether."""
    write(host, "/usr/share/containers/containers.conf", '[engine]\nhooks_dir = ["/a"]\n')
    file = write(host, "/etc/containers/containers.conf", "[engine]\nevents_logger = 1\n")
    for added in (False, True):
        configure("podman", config=str(file), **options)
        text = file.read_text(encoding="utf-8") + "# changed\n"
        file.write_text(text.replace(old, new) if added else text, encoding="utf-8")
        undo("podman", config=str(file), **options)
        expected = left.replace("@", ", ".join(f'"{name}"' for name in podman.JSON_RUNTIMES)) if added else ""
        assert file.read_text(encoding="utf-8").replace("# changed\n", "") == f"[engine]\n{expected}events_logger = 1\n"


def test_the_shared_directory_gets_no_precreate_hook(host: Path, configure: Configure) -> None:
    """A createRuntime hook may go there."""
    configure("podman", stage="createRuntime")
    assert [path.name for path in (host / "usr/share/containers/oci/hooks.d").iterdir()] == ["cdi-hook-createRuntime.json"]


def test_a_plain_user(host: Path, site: Site) -> None:
    """Drop-ins below the user's own configuration; the settings are root's, so a note says what the wrapper will run."""
    (host / "etc").mkdir()
    user = replace(site, uid=1000, home=f"{host}/home/u", state=f"{host}/home/u/.local/state/cdi-hook")
    plan = podman.ENGINE.plan(user, Request(), user.wrapper)
    journal.apply(user, podman.ENGINE, Request(), plan)
    assert '  cdi = ["@/bin/cdi-runtime"]\n' in read(host, "/home/u/.config/containers/containers.conf.d/99-cdi-hook.conf")


def test_a_handler_of_others(host: Path, configure: Configure) -> None:
    """Is not taken over."""
    file = write(host, "/etc/containers/containers.conf", '[engine.runtimes]\ncdi = ["/usr/bin/other"]\n')
    with pytest.raises(EngineError, match=r"the handler cdi is there already and calls \['/usr/bin/other'\]; choose another name"):
        configure("podman")
    assert file.read_text(encoding="utf-8") == '[engine.runtimes]\ncdi = ["/usr/bin/other"]\n'


def test_status(host: Path, site: Site, configure: Configure) -> None:
    """A later drop-in with a list of its own hides our messages: doctor says so."""
    configure("podman")
    write(host, "/etc/containers/containers.conf.d/99-zzz.conf", '[engine]\nruntime_supports_json = ["crun"]\n')
    status = podman.ENGINE.status(site, Request())
    assert [(found.name, found.default) for found in status.handlers] == [("cdi", False)]
    assert status.problems == [
        (
            "handler cdi: runtime_supports_json does not name it: podman shows none of our messages",
            "cdi-hook configure podman --handler cdi",
        )
    ]
