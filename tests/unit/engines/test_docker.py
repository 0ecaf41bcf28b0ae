"""daemon.json: what is inserted, and that every other byte stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cdi_hook.engines import docker
from cdi_hook.engines.base import Request, Site
from cdi_hook.errors import EngineError

from .conftest import Configure, program, tree, write

CONFIG = "/etc/docker/daemon.json"

ROWS = [
    pytest.param('{"a":1}', '{"a":1, "runtimes": {"cdi": {"path": "@"}}}', {}, id="one line"),
    pytest.param("{}\n", '{\n    "runtimes": {\n        "cdi": {\n            "path": "@"\n        }\n    }\n}\n', {}, id="empty object"),
    pytest.param(
        '{\n  "log-driver" : "local",\n\n  "runtimes": {"x": {"path": "/x"}}\n}\n',
        '{\n  "log-driver" : "local",\n\n  "runtimes": {"x": {"path": "/x"}, "cdi": {"path": "@"}}\n}\n',
        {},
        id="beside another runtime, in its layout",
    ),
    pytest.param(
        '{\n\t"default-runtime": "x",\n\t"runtimes": {\n\t\t"x": {\n\t\t\t"path": "/x"\n\t\t}\n\t}\n}',
        '{\n\t"default-runtime": "cdi",\n\t"runtimes": {\n\t\t"x": {\n\t\t\t"path": "/x"\n\t\t},\n'
        '\t\t"cdi": {\n\t\t\t"path": "@"\n\t\t}\n\t}\n}',
        {"set_default": True},
        id="as the default, tabs, no final newline",
    ),
    pytest.param(
        '{\r\n  "a": 1\r\n}\r\n',
        '{\r\n  "a": 1,\r\n  "runtimes": {\r\n    "cdi": {\r\n      "path": "@"\r\n    }\r\n  }\r\n}\r\n',
        {},
        id="CRLF: our lines too",
    ),
]


@pytest.mark.parametrize(("before", "after", "options"), ROWS)
def test_only_our_bytes_are_new(
    host: Path, site: Site, configure: Configure, undo: Callable[..., list[str]], before: str, after: str, options: dict[str, object]
) -> None:
    """A backup beside it, a second run that changes nothing, the same bytes after undo."""
    config = write(host, CONFIG, "")
    config.write_bytes(before.encode())
    config.chmod(0o600)
    was = tree(host)
    configure("docker", **options)
    assert config.read_bytes().decode().replace(site.wrapper, "@") == after
    backup = Path(f"{config}.before-cdi-hook")
    assert backup.read_bytes().decode() == before
    assert (config.stat().st_mode & 0o777, backup.stat().st_mode & 0o777) == (0o600, 0o600)
    assert not configure("docker", **options).changes
    undo("docker")
    assert tree(host) == was


def test_a_missing_file_is_made(host: Path, site: Site, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """Docker runs without one."""
    configure("docker")
    text = Path(f"{host}{CONFIG}").read_text(encoding="utf-8")
    assert json.loads(text) == {"runtimes": {"cdi": {"path": site.wrapper}}}
    undo("docker")
    assert not Path(f"{host}/etc/docker").exists()


def test_undo_after_others_changed_the_file(host: Path, configure: Configure, undo: Callable[..., list[str]]) -> None:
    """Only the handler goes, and the default comes back."""
    config = write(host, CONFIG, '{\n  "default-runtime": "x",\n  "runtimes": {\n    "x": {"path": "/x"}\n  }\n}\n')
    configure("docker", set_default=True)
    changed = config.read_text(encoding="utf-8").replace('"runtimes"', '"debug": true,\n  "runtimes"')
    config.write_text(changed, encoding="utf-8")
    assert undo("docker") == [f"{config}: was changed by others since; only our part is taken out"]
    assert config.read_text(encoding="utf-8") == (
        '{\n  "default-runtime": "x",\n  "debug": true,\n  "runtimes": {\n    "x": {"path": "/x"}\n  }\n}\n'
    )


BAD = [
    pytest.param('{"a": 1,\n "b" 2}', ":2: is not JSON: Expecting ':' delimiter; mend it first; the file is untouched", id="broken"),
    pytest.param("[1]", ":1: is not a JSON object; mend it first; the file is untouched", id="a list"),
    pytest.param('{"a":1,"a":2}', ': has the key "a" twice; remove one; the file is untouched', id="a doubled key"),
    pytest.param('{"runtimes":[1]}', ": runtimes: is not an object of objects", id="runtimes is a list"),
    pytest.param(
        '{"runtimes":{"cdi":{"path":"/o"}}}',
        ": the handler cdi is there already and calls /o; choose another name: --handler NAME",
        id="foreign",
    ),
    pytest.param("{" + '"a":' * 3000 + "1", ":1: is not JSON: ", id="unfinished"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_not_understood_is_refused(host: Path, configure: Configure, text: str, message: str) -> None:
    """With the file untouched."""
    config = write(host, CONFIG, text)
    was = tree(host)
    with pytest.raises(EngineError) as caught:
        configure("docker")
    assert str(caught.value).startswith(str(config) + message)
    assert tree(host) == was


@pytest.mark.parametrize(("version", "asked"), [("20.10.24", False), ("23.0.1", True), ("28.3.0", True)])
def test_dockerd_is_asked_when_it_can_check(host: Path, configure: Configure, version: str, asked: bool) -> None:
    """``--validate`` came with 23.0; its refusal rolls back."""
    program(
        host / "bin/dockerd", f'[ "$1" = --version ] && {{ echo "Docker version {version}, build x"; exit; }}\necho "unable: x"; exit 1'
    )
    was = tree(host)
    if not asked:
        configure("docker")
        return
    with pytest.raises(EngineError, match="dockerd refuses the file: unable: x"):
        configure("docker")
    assert tree(host) == was


def test_status_says_how_requests_travel(host: Path, site: Site, configure: Configure) -> None:
    """Before 24.0 no annotation reaches the wrapper."""
    program(host / "bin/dockerd", 'echo "Docker version 20.10.24+dfsg1, build x"')
    configure("docker")
    status = docker.ENGINE.status(site, Request())
    assert status.notes == [
        "passes no annotations on: requests come by requests.mounts or requests.environment, as far as the settings turn them on"
    ]


@pytest.mark.parametrize(
    ("words", "options", "field"),
    [
        (["--add-runtime", "x=/bin/x"], {}, "runtimes"),
        (["--add-runtime=x=/bin/x", "-H", "fd://"], {}, "runtimes"),
        (["--default-runtime=runc"], {"set_default": True}, "default-runtime"),
    ],
)
def test_what_a_running_dockerd_has_as_a_flag(
    host: Path, configure: Configure, words: list[str], options: dict[str, bool], field: str
) -> None:
    """With both it does not start again."""
    config = write(host, CONFIG, "{}\n")
    line = write(host, "/proc/17/cmdline", "\0".join(["/usr/bin/dockerd", *words, ""]))
    with pytest.raises(EngineError) as caught:
        configure("docker", **options)
    flag = words[0].split("=")[0]
    assert str(caught.value) == (
        f"{config}: {field}: dockerd (process 17) was started with {flag}, and does not start when the file has {field} as well; "
        f"move {flag} from dockerd's command line into the file, and restart it first"
    )
    assert config.read_text(encoding="utf-8") == "{}\n"
    line.write_text("\0".join(["/usr/bin/dockerd", "--config-file", "/other.json", *words, ""]), encoding="utf-8")
    assert configure("docker", **options).changes
