"""containerd's configuration: the text that is written, for each version of the file, and what is left after undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook.engines import containerd
from cdi_hook.engines.base import Request, Site
from cdi_hook.errors import EngineError

from .conftest import Configure, program, tree, write

CONFIG = "/etc/containerd/config.toml"
RUNTIME = "io.containerd.cri.v1.runtime"

PLAIN = """\
# Nodes of rack 7
version = 2
root = "/var/lib/containerd"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.9"  # mirrored

# the end
"""
PLAIN_AFTER = """\
# Nodes of rack 7
version = 2
root = "/var/lib/containerd"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.9"  # mirrored

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi]
  runtime_type = "io.containerd.runc.v2"
  container_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi.options]
    BinaryName = "@/bin/cdi-runtime"

# the end
"""

NESTED = """\
version = 2
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"  # for now
      snapshotter = "overlayfs"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        base_runtime_spec = "/etc/containerd/base.json"
        container_annotations = ["io.acme/*"]
        pod_annotations = ["io.acme/*", "cdi.k8s.io/*"]
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
          SystemdCgroup = true
  [plugins."io.containerd.gc.v1.scheduler"]
    pause_threshold = 0.02
"""
NESTED_AFTER = """\
version = 2
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "cdi"  # for now
      snapshotter = "overlayfs"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        base_runtime_spec = "/etc/containerd/base.json"
        container_annotations = ["io.acme/*"]
        pod_annotations = ["io.acme/*", "cdi.k8s.io/*"]
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
          SystemdCgroup = true

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi]
        runtime_type = "io.containerd.runc.v2"
        base_runtime_spec = "/etc/containerd/base.json"
        container_annotations = ["io.acme/*", "cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]
        pod_annotations = ["io.acme/*"]

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi.options]
          SystemdCgroup = true
          BinaryName = "@/bin/cdi-runtime"
  [plugins."io.containerd.gc.v1.scheduler"]
    pause_threshold = 0.02
"""

FIRST = """\
[plugins.cri.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v1"
"""
FIRST_AFTER = """\
[plugins.cri.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v1"

[plugins.cri.containerd.runtimes.cdi]
runtime_type = "io.containerd.runc.v1"
container_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]

[plugins.cri.containerd.runtimes.cdi.options]
BinaryName = "@/bin/cdi-runtime"
"""

THIRD = """\
version = 3
imports = ["conf.d/*.toml"]

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  sandboxer = 'podsandbox'

  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = true
"""
THIRD_DROPIN = """\
# Written by cdi-hook configure; taken out by: cdi-hook unconfigure containerd --handler cdi
version = 3

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cdi]
  runtime_type = "io.containerd.runc.v2"
  sandboxer = "podsandbox"
  container_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cdi.options]
    SystemdCgroup = true
    BinaryName = "@/bin/cdi-runtime"
"""
BARE_DROPIN = """\
# Written by cdi-hook configure; taken out by: cdi-hook unconfigure containerd --handler cdi
version = 3

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "cdi"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cdi]
  runtime_type = "io.containerd.runc.v2"
  container_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]
  pod_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cdi.options]
    BinaryName = "@/bin/cdi-runtime"
"""

EDITED = [
    pytest.param(PLAIN, PLAIN_AFTER, {}, id="version 2, no runtime named: runc is kept"),
    pytest.param(NESTED, NESTED_AFTER, {"set_default": True}, id="version 2, nested: options copied, pod annotations of ours not"),
    pytest.param(FIRST, FIRST_AFTER, {}, id="version 1, flat layout"),
    pytest.param(PLAIN.replace("\n", "\r\n"), PLAIN_AFTER.replace("\n", "\r\n"), {}, id="CRLF: our lines too"),
]


@pytest.mark.parametrize(("before", "after", "options"), EDITED)
def test_the_file_with_the_cri_table_is_edited(
    host: Path, configure: Configure, undo: Callable[..., list[str]], before: str, after: str, options: dict[str, object]
) -> None:
    """Comments, order and layout stay; a second run changes nothing; undo gives the same bytes."""
    config = write(host, CONFIG, "")
    config.write_bytes(before.encode())
    config.chmod(0o640)
    was = tree(host)
    assert configure("containerd", **options).changes
    assert config.read_bytes().decode().replace(str(host), "@") == after
    assert config.stat().st_mode & 0o777 == 0o640
    assert not configure("containerd", **options).changes
    assert undo("containerd") == []
    assert tree(host) == was


def test_version_3_gets_a_drop_in(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """The directory is imported already: the main file stays as it is."""
    write(host, CONFIG, THIRD)
    was = tree(host)
    configure("containerd")
    dropin = host / "etc/containerd/conf.d/cdi-hook-cdi.toml"
    assert dropin.read_text(encoding="utf-8").replace(str(host), "@") == THIRD_DROPIN
    assert (host / CONFIG[1:]).read_text(encoding="utf-8") == THIRD
    assert not configure("containerd").changes
    undo("containerd")
    assert tree(host) == was
    assert not dropin.parent.exists()


def test_version_3_without_imports(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """The import is added, and taken out again by undo. Everything that can be asked for, at once."""
    main = write(host, CONFIG, "# mine\nversion = 3\nroot = '/x'\n")
    was = tree(host)
    plan = configure("containerd", set_default=True, pod_annotations=True)
    assert main.read_text(encoding="utf-8") == f"# mine\nversion = 3\nimports = [\"{host}/etc/containerd/conf.d/*.toml\"]\nroot = '/x'\n"
    dropin = host / "etc/containerd/conf.d/cdi-hook-cdi.toml"
    assert dropin.read_text(encoding="utf-8").replace(str(host), "@") == BARE_DROPIN
    assert "--pod-annotations: whoever may create a pod may now ask for any CDI device of this host" in plan.notes
    assert not configure("containerd", set_default=True, pod_annotations=True).changes
    undo("containerd")
    assert tree(host) == was


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_version_3_two_handlers(host: Path, configure: Configure, undo: Callable[..., list[str]], order: tuple[str, str]) -> None:
    """The import that the first one added stays as long as the other one needs it."""
    main = write(host, CONFIG, "version = 3\n")
    was = tree(host)
    for handler in ("a", "b"):
        configure("containerd", handler=handler)
    undo("containerd", handler=order[0])
    assert "imports" in main.read_text(encoding="utf-8")
    assert not configure("containerd", handler=order[1]).changes
    undo("containerd", handler=order[1])
    assert tree(host) == was


@pytest.mark.parametrize("other", [False, True], ids=["alone", "beside another drop-in"])
def test_version_3_after_others_changed_the_files(host: Path, configure: Configure, undo: Callable[..., list[str]], other: bool) -> None:
    """Our import goes, unless somebody else's drop-in has come to need it. The old default is in another file and comes back by itself."""
    main = write(host, CONFIG, f'version = 3\n[plugins."{RUNTIME}".containerd]\ndefault_runtime_name = "crun"\n')
    text = main.read_text(encoding="utf-8")
    configure("containerd", set_default=True)
    imports = f'imports = ["{host}/etc/containerd/conf.d/*.toml"]\n'
    assert main.read_text(encoding="utf-8") == text.replace("\n", f"\n{imports}", 1)
    main.write_text(main.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    dropin = host / "etc/containerd/conf.d/cdi-hook-cdi.toml"
    dropin.write_text(dropin.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    if other:
        write(host, "/etc/containerd/conf.d/other.toml", "version = 3\n")
    undo("containerd")
    left = text.replace("\n", f"\n{imports}", 1) if other else text
    assert main.read_text(encoding="utf-8") == left + "# mine\n"
    assert not dropin.exists()


@pytest.mark.parametrize(
    ("version", "name"), [(1, "cri"), (2, "io.containerd.grpc.v1.cri"), (3, "io.containerd.cri.v1.runtime")], ids=["v1", "v2", "v3"]
)
def test_a_disabled_cri_plugin_is_no_refusal(host: Path, configure: Configure, version: int, name: str) -> None:
    """As in the file of Docker's packages: containerd then shows no handler, whatever the file says. A note tells, doctor too."""
    config = write(host, CONFIG, f'version = {version}\ndisabled_plugins = ["{name}"]\n')
    program(host / "bin/containerd", f"echo containerd x {'2.1.9' if version > 2 else '1.6.20'}")
    note = f"{config}: disabled_plugins names the CRI plugin: Kubernetes and crictl cannot reach containerd until it is taken out"
    assert note in configure("containerd").notes


OLD_DEFAULT = PLAIN + '[plugins."io.containerd.grpc.v1.cri".containerd.default_runtime]\nruntime_type = "io.containerd.runc.v2"\n'


READS = [("1.6.20", 3, 2), ("1.7.24", 4, 2), ("2.1.9", 4, 3), ("v2.2.0-rc.1", 4, 3)]


@pytest.mark.parametrize(("version", "number", "most"), READS, ids=[version for version, _, _ in READS])
def test_a_file_that_this_containerd_cannot_read(host: Path, configure: Configure, version: str, number: int, most: int) -> None:
    config = write(host, CONFIG, f"version = {number}\n")
    program(host / "bin/containerd", f"echo containerd x {version}")
    with pytest.raises(EngineError) as caught:
        configure("containerd")
    shown = version.lstrip("v")
    assert str(caught.value) == (
        f"{config}: version: is of version {number}, and containerd here is {shown}, which reads versions up to {most}; make it anew for "
        "this containerd (containerd config default), or name the file that it reads: --config FILE"
    )
    assert config.read_text(encoding="utf-8") == f"version = {number}\n"


@pytest.mark.parametrize(("version", "number"), [("1.6.20", 2), ("2.1.9", 3), ("2.3.0", 4), ("2.4.0-beta.1", 4)])
def test_a_file_that_this_containerd_can_read(host: Path, configure: Configure, version: str, number: int) -> None:
    write(host, CONFIG, f"version = {number}\n")
    program(host / "bin/containerd", f"[ $1 = --version ] && echo containerd x {version}; echo [x.runtimes.cdi]")
    assert configure("containerd").changes


def test_the_old_default_table(host: Path, configure: Configure) -> None:
    """Its options are those to copy; no name could win over it, so ``--set-default`` says so."""
    table = '[plugins."io.containerd.grpc.v1.cri".containerd.default_runtime.options]\nSystemdCgroup = true\n'
    config = write(host, CONFIG, OLD_DEFAULT + table)
    with pytest.raises(EngineError) as caught:
        configure("containerd", set_default=True)
    assert str(caught.value) == (
        f"{config}: plugins.io.containerd.grpc.v1.cri.containerd.default_runtime: is there, is deprecated, and wins over "
        "default_runtime_name; make it a table of containerd.runtimes, name that one in default_runtime_name, and try again"
    )
    configure("containerd")
    assert config.read_text(encoding="utf-8").count("SystemdCgroup = true") == 2


def test_the_cri_table_may_be_in_an_imported_file(host: Path, configure: Configure) -> None:
    """Before version 3 the last file with the section is the one that counts; the others stay untouched."""
    main = write(host, CONFIG, f'version = 2\nimports = ["{host}/etc/containerd/more/*.toml", "last.toml"]\n' + PLAIN[PLAIN.index("[") :])
    other = write(host, "/etc/containerd/more/a.toml", "version = 2\n[debug]\n  level = 'info'\n")
    last = write(host, "/etc/containerd/last.toml", PLAIN)
    before = main.read_bytes(), other.read_bytes()
    assert [change.path for change in configure("containerd").changes if change.kind == "engine"] == [str(last)]
    assert last.read_text(encoding="utf-8").replace(str(host), "@") == PLAIN_AFTER
    assert (main.read_bytes(), other.read_bytes()) == before


def test_a_shim_that_is_not_runc_is_not_copied(host: Path, configure: Configure) -> None:
    """BinaryName means something to the runc shim alone."""
    base = 'plugins."io.containerd.grpc.v1.cri".containerd'
    text = f'version = 2\n[{base}]\n  default_runtime_name = "kata"\n[{base}.runtimes.kata]\n  runtime_type = "io.containerd.kata.v2"\n'
    config = write(host, CONFIG, text)
    configure("containerd")
    entry = containerd._view(Site(wrapper=""), str(config), config.read_bytes()).runtimes["cdi"]
    assert entry["runtime_type"] == "io.containerd.runc.v2"


def test_pod_annotations_are_taken_away_when_no_longer_asked_for(host: Path, configure: Configure) -> None:
    """They are an explicit choice each time."""
    config = write(host, CONFIG, PLAIN)
    configure("containerd", pod_annotations=True)
    assert "pod_annotations" in config.read_text(encoding="utf-8")
    configure("containerd")
    assert config.read_text(encoding="utf-8").replace(str(host), "@") == PLAIN_AFTER


BAD = [
    pytest.param("version = 2\n[plugins\n", ":2: is not TOML: Expected ']' at the end of a table declaration; ", id="broken"),
    pytest.param("version = 9\n", ": version: is of version 9; 1 to 4 are known", id="unknown version"),
    pytest.param('version = 2\nimports = "x"\n', ": imports: is not a list of paths", id="imports"),
    pytest.param(
        'version = 2\nimports = ["/nowhere/x.toml"]\n', ": imports: imports /nowhere/x.toml, which is missing", id="dangling import"
    ),
    pytest.param(
        'version = 2\n[[plugins."io.containerd.grpc.v1.cri".containerd.runtimes]]\nruntime_type = "io.containerd.runc.v2"\n',
        ": is laid out in a way that cannot be edited safely; add these lines by hand",
        id="an array of tables",
    ),
    pytest.param(
        NESTED + '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cdi.options]\nBinaryName = "/usr/bin/other"\n',
        ": the handler cdi is there already and calls /usr/bin/other; choose another name: --handler NAME",
        id="the handler is somebody else's",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_not_understood_is_refused(host: Path, configure: Configure, text: str, message: str) -> None:
    """With the file untouched and nothing else written."""
    config = write(host, CONFIG, text)
    was = tree(host)
    with pytest.raises(EngineError) as caught:
        configure("containerd")
    assert str(caught.value).startswith(str(config) + message)
    assert tree(host) == was


def test_a_missing_file_is_refused(host: Path, configure: Configure) -> None:
    """A file with our handler alone would be another configuration than the defaults that run now."""
    with pytest.raises(EngineError) as caught:
        configure("containerd")
    file = host / "etc/containerd/config.toml"
    assert str(caught.value) == f"{file}: is missing; containerd config default > {file} makes one"


def test_containerd_refuses_the_result(host: Path, configure: Configure) -> None:
    """Then everything is rolled back, our settings and the journal too."""
    write(host, CONFIG, PLAIN)
    was = tree(host)
    program(host / "bin/containerd", '[ "$1" = --version ] && { echo containerd 1.6.20; exit; }\necho "containerd: strange key"; exit 1')
    with pytest.raises(EngineError, match="containerd refuses the file: containerd: strange key"):
        configure("containerd")
    assert tree(host) == was
    assert not (host / "var/lib/cdi-hook/journal.json").exists()
    assert not (host / "etc/cdi-hook").exists()


def test_containerd_does_not_see_the_handler(host: Path, configure: Configure) -> None:
    """Whatever the reason is: better said now than by every pod."""
    write(host, CONFIG, PLAIN)
    was = tree(host)
    program(host / "bin/containerd", "echo containerd x 1.6.20")
    with pytest.raises(EngineError, match="containerd does not see the handler cdi; is this the file that it reads"):
        configure("containerd")
    assert tree(host) == was


def test_status_finds_handlers_and_missing_passthrough(host: Path, site: Site, configure: Configure) -> None:
    """What doctor shows."""
    config = write(host, CONFIG, PLAIN)
    configure("containerd", set_default=True)
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace('"cdi.k8s.io/*", ', "").replace("version = 2", 'version = 2\ndisabled_plugins = ["cri"]'), encoding="utf-8"
    )
    status = containerd.ENGINE.status(site, Request())
    (found,) = status.handlers
    assert (found.name, found.path, found.default, found.annotations) == ("cdi", site.wrapper, True, ["nvidia.cdi.k8s.io/*"])
    assert status.problems == [
        (
            "handler cdi: container_annotations lets cdi.k8s.io/ not through: no such request reaches us",
            "cdi-hook configure containerd --handler cdi",
        ),
        ("disabled_plugins names the CRI plugin: no pod can be created", f"take it out of {config}"),
    ]


AS_FOUND = {
    "Debian's default": """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
""",
    "a deeper table before ours": """# an administrator's comment
version = 2
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"   # kept
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""",
    "inline tables": (
        'version = 2\nplugins = {"io.containerd.grpc.v1.cri" = '
        '{containerd = {runtimes = {runc = {runtime_type = "io.containerd.runc.v2"}}}}}\n'
    ),
    "dotted keys": 'version = 2\nplugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.runtime_type = "io.containerd.runc.v2"\n',
}


@pytest.mark.parametrize("text", AS_FOUND.values(), ids=AS_FOUND)
def test_a_file_as_found_in_the_field(host: Path, site: Site, configure: Configure, undo: Callable[..., list[str]], text: str) -> None:
    """Configured, read again by everybody, and given back."""
    config = write(host, CONFIG, text)
    configure("containerd")
    assert not configure("containerd").changes
    assert [handler.name for handler in containerd.ENGINE.status(site, Request()).handlers] == ["cdi"]
    undo("containerd")
    assert config.read_text(encoding="utf-8") == text
