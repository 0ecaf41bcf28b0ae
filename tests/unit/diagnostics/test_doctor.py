"""The doctor's report on hosts made of files: each fault is one problem with the command that mends it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.cli import doctor as command
from cdi_hook.diagnostics import doctor
from cdi_hook.engines.base import Site

GENERATOR = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
CONTAINERD = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes'


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A host where all is well: containerd calls us, runc is there, one device is defined."""
    program(tmp_path / "bin/cdi-runtime", "exit 0")
    program(tmp_path / "bin/runc", "echo runc version 1.1.5")
    program(tmp_path / "bin/containerd", "echo containerd x 1.6.20")
    spec = {
        "cdiVersion": "0.6.0",
        "kind": "acme.com/nic",
        "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/null"}]}}],
    }
    write(tmp_path / "cdi/acme.json", json.dumps(spec))
    write(tmp_path / "etc/cdi-hook/config.yaml", f"runtime: {tmp_path}/bin/runc\nspecDirs: [{tmp_path}/cdi]\n")
    handler = f'version = 2\n[{CONTAINERD}.cdi]\ncontainer_annotations = ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"]\n'
    write(tmp_path / "etc/containerd/config.toml", f'{handler}[{CONTAINERD}.cdi.options]\nBinaryName = "{tmp_path}/bin/cdi-runtime"\n')
    return Site(
        wrapper=f"{tmp_path}/bin/cdi-runtime", settings=f"{tmp_path}/etc/cdi-hook/config.yaml", path=f"{tmp_path}/bin", root=str(tmp_path)
    )


def problems(site: Site) -> list[tuple[str, str, str]]:
    """What is wrong, with the host's root left out of the texts."""
    found = doctor.examine(site)["problems"]
    return [(item["subject"], item["what"].replace(site.root, "@"), item["fix"].replace(site.root, "@")) for item in found]


def test_all_is_well(site: Site) -> None:
    """The facts, and exit status 0."""
    report = doctor.examine(site)
    assert (report["problems"], report["unknown"], doctor.verdict(report)) == ([], [], 0)
    assert report["runtime"] == {"path": f"{site.root}/bin/runc", "from": site.settings, "version": "runc version 1.1.5"}
    assert (report["specs"]["devices"], report["specs"]["files"]) == (1, 1)
    (engine,) = [engine for engine in report["engines"] if engine["program"]]
    assert (engine["engine"], engine["version"]) == ("containerd", "1.6.20")
    assert [handler["name"] for handler in engine["handlers"]] == ["cdi"]
    assert json.loads(json.dumps(report)) == report


def no_wrapper(host: Path) -> None:
    (host / "bin/cdi-runtime").unlink()


def no_runtime(host: Path) -> None:
    (host / "bin/runc").unlink()


def stale_spec(host: Path) -> None:
    file = host / "cdi/acme.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"/dev/null"', '"/dev/null", "type": "b"'), encoding="utf-8")


def no_node(host: Path) -> None:
    file = host / "cdi/acme.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"/dev/null"', '"/dev/acme-0"'), encoding="utf-8")


def no_link(host: Path) -> None:
    file = host / "etc/containerd/config.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("bin/cdi-runtime", "bin/cdi-runtime-gpu"), encoding="utf-8")
    write(host / "etc/cdi-hook/gpu.yaml", "enabled: true\n")


def no_specs(host: Path) -> None:
    (host / "cdi/acme.json").unlink()


def disabled(host: Path) -> None:
    file = host / "etc/cdi-hook/config.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "enabled: false\n", encoding="utf-8")


def wrapper_as_runtime(host: Path) -> None:
    (host / "bin/loop").symlink_to("cdi-runtime")
    write(host / "etc/cdi-hook/config.yaml", f"runtime: {host}/bin/loop\nspecDirs: [{host}/cdi]\n")


def no_engine(host: Path) -> None:
    (host / "etc/containerd/config.toml").unlink()


def no_passthrough(host: Path) -> None:
    file = host / "etc/containerd/config.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("container_annotations", "pod_annotations"), encoding="utf-8")


def no_named_settings(host: Path) -> None:
    file = host / "etc/containerd/config.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("bin/cdi-runtime", "bin/cdi-runtime-gpu"), encoding="utf-8")
    (host / "bin/cdi-runtime-gpu").symlink_to("cdi-runtime")


def missing_hook_program(host: Path) -> None:
    hook = {"version": "1.0.0", "hook": {"path": f"{host}/bin/cdi-hook"}, "when": {"always": True}, "stages": ["precreate"]}
    write(host / "usr/share/containers/oci/hooks.d/cdi-hook.json", json.dumps(hook))


def no_dev_char(host: Path) -> None:
    (host / "run/systemd/system").mkdir(parents=True)
    (host / "dev").mkdir()
    (host / "dev/null").symlink_to("/dev/null")


NODE = "@/cdi/acme.json:1: devices[0].containerEdits.deviceNodes[0]"

FAULTS = [
    (no_wrapper, [("wrapper", "@/bin/cdi-runtime is not there", "sh packaging/install.sh")]),
    (no_runtime, [("runtime", "@/bin/runc cannot be run", "sed -i 's|^runtime:.*|runtime: /path/to/runc|' @/etc/cdi-hook/config.yaml")]),
    (
        stale_spec,
        [
            (
                "specs",
                f"acme.com/nic=0: {NODE}.type: /dev/null is of type c on this host, not b",
                "load the driver, or take type, major and minor out of the spec: they are then looked up",
            )
        ],
    ),
    (
        no_node,
        [
            (
                "specs",
                f"acme.com/nic=0: {NODE}: device node /dev/acme-0 does not exist on this host",
                "load the driver, or mend this line of the spec",
            )
        ],
    ),
    (
        no_link,
        [
            (
                "wrapper",
                "handler cdi in @/etc/containerd/config.toml calls @/bin/cdi-runtime-gpu, which is not there",
                "cdi-hook configure containerd --handler cdi",
            )
        ],
    ),
    (
        no_specs,
        [
            (
                "specs",
                "no device is defined in @/cdi",
                "run the vendor's generator, or write a spec there",
            )
        ],
    ),
    (
        disabled,
        [("settings", "enabled is false: every request is ignored", "sed -i 's/^enabled:.*/enabled: true/' @/etc/cdi-hook/config.yaml")],
    ),
    (
        wrapper_as_runtime,
        [
            (
                "runtime",
                "@/bin/loop is the wrapper itself",
                "sed -i 's|^runtime:.*|runtime: @/bin/runc|' @/etc/cdi-hook/config.yaml",
            )
        ],
    ),
    (no_engine, [("engines", "no engine here calls cdi-runtime: requests reach nobody", "cdi-hook configure containerd")]),
    (
        no_passthrough,
        [
            (
                "containerd",
                "handler cdi: container_annotations lets cdi.k8s.io/, nvidia.cdi.k8s.io/ not through: no such request reaches us",
                "cdi-hook configure containerd --handler cdi",
            )
        ],
    ),
    (
        no_named_settings,
        [
            (
                "settings",
                "handler cdi reads @/etc/cdi-hook/gpu.yaml, which is missing",
                "cp @/etc/cdi-hook/config.yaml @/etc/cdi-hook/gpu.yaml",
            )
        ],
    ),
    (
        missing_hook_program,
        [
            (
                "hooks",
                "@/usr/share/containers/oci/hooks.d/cdi-hook.json calls @/bin/cdi-hook, "
                "which is not there: containers start without devices",
                "sh packaging/install.sh",
            ),
            (
                "hooks",
                "@/usr/share/containers/oci/hooks.d/cdi-hook.json keeps CRI-O from starting (unknown stage precreate)",
                "rm @/usr/share/containers/oci/hooks.d/cdi-hook.json; cdi-hook configure podman --hook",
            ),
        ],
    ),
    (
        no_dev_char,
        [
            (
                "host",
                "/dev/char/1:3 is missing: systemctl daemon-reload takes /dev/null away from containers under systemd cgroups",
                "mkdir -p /dev/char; ln -s /dev/null /dev/char/1:3",
            )
        ],
    ),
]


@pytest.mark.parametrize(("spoil", "expected"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_each_fault_has_its_remedy(site: Site, tmp_path: Path, spoil: Any, expected: list[tuple[str, str, str]]) -> None:
    """One fault, and nothing else is reported."""
    spoil(tmp_path)
    found = problems(site)
    assert found == expected
    assert doctor.verdict(doctor.examine(site)) == 1


def test_a_spec_that_does_not_load(site: Site, tmp_path: Path) -> None:
    """With the file, and the command that shows all of its faults."""
    file = write(tmp_path / "cdi/bad.json", "{")
    found = problems(site)
    assert [(subject, fix) for subject, _, fix in found] == [("specs", "cdi-hook validate @/cdi/bad.json")]
    assert found[0][1].startswith(f"{file}".replace(site.root, "@"))


def test_what_cannot_be_found_out(site: Site, tmp_path: Path) -> None:
    """A configuration that does not parse: how the engine is configured is unknown, and the status is 3 if nothing else is wrong."""
    write(tmp_path / "etc/docker/daemon.json", "{")
    program(tmp_path / "bin/dockerd", "echo Docker version 28.3.0")
    report = doctor.examine(site)
    file = tmp_path / "etc/docker/daemon.json"
    what = f"cannot tell how it is configured: {file}:1: is not JSON: Expecting property name enclosed in double quotes"
    assert report["unknown"] == [{"subject": "docker", "what": f"{what}; mend it first; the file is untouched"}]
    assert doctor.verdict(report) == 3


def test_the_only_engine_cannot_be_read(site: Site, tmp_path: Path) -> None:
    """Then nobody knows whether it calls us: that is no problem found."""
    file = write(tmp_path / "etc/containerd/config.toml", "[")
    report = doctor.examine(site)
    assert (report["problems"], [item["subject"] for item in report["unknown"]]) == ([], ["containerd"])
    assert report["engines"][0]["config"] == str(file)
    assert doctor.verdict(report) == 3


def test_docker_without_annotations(site: Site, tmp_path: Path) -> None:
    """No request can reach us while both other ways are off."""
    write(tmp_path / "etc/docker/daemon.json", json.dumps({"runtimes": {"cdi": {"path": site.wrapper}}}))
    program(tmp_path / "bin/dockerd", "echo Docker version 20.10.24")
    what = "Docker 20.10.24 passes no annotations on; with requests.environment and requests.mounts off no request reaches us"
    assert ("docker", what, "set requests.mounts: true in @/etc/cdi-hook/config.yaml (under requests:)") in problems(site)


def test_the_page(site: Site, tmp_path: Path) -> None:
    """What is printed when one thing is wrong."""
    no_specs(tmp_path)
    text = command.page(doctor.examine(site)).replace(site.root, "@")
    lines = [line for line in text.splitlines() if not line.startswith(("host", "podman", "crio", "docker"))]
    assert lines == [
        "containerd  1.6.20, @/etc/containerd/config.toml",
        "            handler cdi -> @/bin/cdi-runtime (real runtime @/bin/runc; annotations: cdi.k8s.io/*, nvidia.cdi.k8s.io/*)",
        "wrapper     @/bin/cdi-runtime",
        "runtime     @/bin/runc (runc version 1.1.5; from @/etc/cdi-hook/config.yaml)",
        "settings    @/etc/cdi-hook/config.yaml",
        "specs       0 devices in 0 files of @/cdi",
        "index       none yet",
        "",
        "notes:",
        "  containerd: drops the CRI field CDIDevices in silence (CDI came with 1.7.2): requests must be annotations",
        "",
        "problems:",
        "  specs: no device is defined in @/cdi",
        "    mend it: run the vendor's generator, or write a spec there",
    ]


def test_an_engines_file_elsewhere(site: Site, tmp_path: Path) -> None:
    """Named by an option, which knows the engines."""
    file = write(tmp_path / "other.toml", "version = 2\n")
    (containerd,) = [item for item in doctor.examine(site, {"containerd": str(file)})["engines"] if item["engine"] == "containerd"]
    assert (containerd["config"], containerd["handlers"]) == (str(file), [])
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert parser.parse_args(["--config", "docker=/x"]).config == [("docker", "/x")]
    with pytest.raises(SystemExit):
        parser.parse_args(["--config", "lxc=/x"])
