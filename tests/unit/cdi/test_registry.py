"""``cdi_hook.cdi.registry`` and ``cdi_hook.cdi.unresolved``: scanning, precedence, questions, messages, writing."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cdi_hook
from cdi_hook import Registry
from cdi_hook.cdi import registry, specfile
from cdi_hook.errors import BundleError, CdiError, ConflictError, FaultsError, SpecError, UnresolvedError
from tests.unit.specs import BROKEN, spec_text, write_files


def _env(specs: Registry, *names: str) -> Any:
    return specs.inject({}, names)["process"]["env"]


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Two spec directories, ``low`` and ``high``, that exist."""
    dirs = [tmp_path / "low", tmp_path / "high"]
    for path in dirs:
        path.mkdir()
    return [str(path) for path in dirs]


class TestScan:
    def test_the_later_directory_wins(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path, {"low/a.yaml": spec_text(devices="0 1", mark="low"), "high/a.yaml": spec_text(mark="high")})
        specs = Registry.discover(two)
        assert _env(specs, "acme.com/gpu=0", "acme.com/gpu=1") == ["DEVICE_0=high", "DEVICE_1=low"]
        assert _env(Registry.discover(two[::-1]), "acme.com/gpu=0") == ["DEVICE_0=low"]
        assert [(spec.path, spec.priority) for spec in specs.specs] == [(f"{two[0]}/a.yaml", 0), (f"{two[1]}/a.yaml", 1)]
        assert specs.errors == {}

    def test_which_files_are_read(self, two: list[str], tmp_path: Path) -> None:
        names = ["b.yaml", "a.json", "c.yml", ".yaml", "d.YAML", "e.yaml.bak", "yaml", "f.yaml~", "sub/g.yaml", "dir.yaml/h.yaml"]
        write_files(tmp_path / "low", {name: spec_text(devices=f"from{number}") for number, name in enumerate(names)})
        (tmp_path / "low" / "link.yaml").symlink_to(tmp_path / "low" / "d.YAML")
        (tmp_path / "low" / "linkdir.yaml").symlink_to(tmp_path / "low" / "sub")
        (tmp_path / "low" / "dangling.yaml").symlink_to("nothing")
        os.mkfifo(tmp_path / "low" / "fifo.yaml")
        specs = Registry.discover(two)
        read = [os.path.basename(spec.path) for spec in specs.specs]
        assert read == [".yaml", "a.json", "b.yaml", "c.yml", "link.yaml"]
        assert sorted(map(os.path.basename, specs.errors)) == ["dangling.yaml", "fifo.yaml", "linkdir.yaml"]
        assert all(str(fault).startswith(f"{path}: ") for path, faults in specs.errors.items() for fault in faults)

    def test_names_are_sorted_by_their_bytes(self, two: list[str], tmp_path: Path) -> None:
        names = [b"\xff.yaml", "\uffee.yaml".encode(), "\U0001f600.yaml".encode(), b"z.yaml", b"Z.yaml"]
        for number, name in enumerate(names):
            with open(os.path.join(os.fsencode(two[0]), name), "w", encoding="utf-8") as file:
                file.write(spec_text(devices=f"from{number}"))
        read = [os.path.basename(os.fsencode(spec.path)) for spec in Registry.discover(two).specs]
        assert read == sorted(names)

    def test_a_conflict_makes_the_device_unusable_and_no_other(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path / "low", {"a.yaml": spec_text(devices="0 1"), "b.yaml": spec_text(devices="0 2")})
        specs = Registry.discover(two)
        assert specs.devices() == ["acme.com/gpu=1", "acme.com/gpu=2"]
        assert specs.conflicts == {"acme.com/gpu=0": [f"{two[0]}/a.yaml", f"{two[0]}/b.yaml"]}
        assert specs.get_device("acme.com/gpu=0") is None
        errors = {path: [str(error) for error in errors] for path, errors in specs.errors.items()}
        assert errors == {
            f"{two[0]}/a.yaml": [
                f"{two[0]}/a.yaml:4: acme.com/gpu=0: also defined by {two[0]}/b.yaml; remove all but one of the definitions"
            ],
            f"{two[0]}/b.yaml": [
                f"{two[0]}/b.yaml:4: acme.com/gpu=0: also defined by {two[0]}/a.yaml; remove all but one of the definitions"
            ],
        }

    def test_a_copied_file_is_one_error(self, two: list[str], tmp_path: Path) -> None:
        text = spec_text(devices="0 1 2 3 4 5 6 7")
        write_files(tmp_path / "low", {"a.yaml": text, "b.yaml": text, "c.json": text})
        errors = Registry.discover(two).errors[f"{two[0]}/c.json"]
        names = ", ".join(f"acme.com/gpu={number}" for number in range(5))
        assert [(error.field, error.reason) for error in errors] == [
            (f"{names} and 3 more", f"also defined by {two[0]}/a.yaml and {two[0]}/b.yaml")
        ]

    def test_a_higher_clean_definition_outlives_a_lower_conflict(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path, {"low/a.yaml": spec_text(), "low/b.yaml": spec_text(), "high/c.yaml": spec_text(mark="high")})
        specs = Registry.discover(two)
        assert _env(specs, "acme.com/gpu=0") == ["DEVICE_0=high"]
        assert specs.conflicts == {}
        assert sorted(specs.errors) == [f"{two[0]}/a.yaml", f"{two[0]}/b.yaml"]
        assert all(isinstance(error, ConflictError) for errors in specs.errors.values() for error in errors)

    def test_a_higher_conflict_does_not_fall_back(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path, {"high/a.yaml": spec_text(), "high/b.yaml": spec_text(), "low/c.yaml": spec_text(mark="low")})
        specs = Registry.discover(two)
        assert specs.is_empty()
        assert list(specs.conflicts) == ["acme.com/gpu=0"]

    def test_yml_is_read_and_yields_to_standard_names(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path / "low", {"a.yml": spec_text(devices="0 1", mark="yml"), "b.yaml": spec_text(mark="yaml")})
        specs = Registry.discover(two)
        assert _env(specs, "acme.com/gpu=0", "acme.com/gpu=1") == ["DEVICE_0=yaml", "DEVICE_1=yml"]
        assert specs.errors == {}
        assert [len(spec.notes) for spec in specs.specs] == [1, 0]

    def test_a_file_that_does_not_load_hides_nothing(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path / "low", {"a.yaml": BROKEN, "b.yaml": spec_text(), "c.json": "{", "d.yaml": ""})
        specs = Registry.discover(two)
        assert specs.devices() == ["acme.com/gpu=0"]
        assert sorted(specs.errors) == [f"{two[0]}/{name}" for name in ("a.yaml", "c.json", "d.yaml")]

    def test_missing_directories_are_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "dangling").symlink_to("nothing")
        specs = Registry.discover([tmp_path / "none", tmp_path / "dangling", tmp_path / "none" / "below"])
        assert specs.is_empty()
        assert specs.errors == {}

    def test_an_unreadable_directory_ends_the_search(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path, {"low/a.yaml": spec_text(devices="low"), "file": "", "high/a.yaml": spec_text(devices="high")})
        path = f"{tmp_path}/file"
        specs = Registry.discover([two[0], path, two[1]])
        assert specs.devices() == ["acme.com/gpu=low"]
        assert {path: [str(error) for error in errors] for path, errors in specs.errors.items()} == {
            path: [f"{path}: is not a directory, so the search ends here; mend it, or take it out of the spec directories"]
        }
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        assert list(Registry.discover([loop, two[0]]).errors) == [str(loop)]

    def test_a_linked_directory_is_another_directory(self, two: list[str], tmp_path: Path) -> None:
        write_files(tmp_path, {"low/a.yaml": spec_text()})
        (tmp_path / "link").symlink_to(two[0])
        specs = Registry.discover([two[0], tmp_path / "link"])
        assert specs.errors == {}
        assert [name for (name, _), _ in specs.parts(["acme.com/gpu=0"])] == [f"{tmp_path}/link/a.yaml"]

    def test_directories_are_cleaned_and_empty_ones_left_out(self, two: list[str]) -> None:
        assert Registry.discover([f"{two[0]}/", "", f"{two[0]}/../high//."]).dirs == two
        assert Registry.discover([]).dirs == []

    def test_the_default_directories(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Registry, "refresh", lambda self: None)
        assert Registry.discover().dirs == ["/etc/cdi", "/var/run/cdi"]


class TestQuestions:
    @pytest.fixture
    def specs(self, two: list[str], tmp_path: Path) -> Registry:
        text = """\
cdiVersion: 0.7.0
kind: acme.com/gpu
containerEdits:
  env: [SPEC=1]
  hooks: [{hookName: createContainer, path: /bin/spec}]
  intelRdt: {closID: spec, enableCMT: true}
devices:
- name: "0"
  containerEdits:
    env: [DEVICE=0]
    hooks: [{hookName: createContainer, path: /bin/device, args: [device, "0"]}]
    intelRdt: {closID: device}
- name: "1"
  annotations: {model: big}
  containerEdits:
    env: [DEVICE=1]
"""
        write_files(tmp_path, {"low/gpu.yaml": text, "high/nic.json": spec_text("other.org/nic", "eth0"), "high/bad.yaml": BROKEN})
        return Registry.discover(two)

    def test_lists(self, specs: Registry) -> None:
        assert not specs.is_empty()
        assert specs.kinds() == ["acme.com/gpu", "other.org/nic"]
        assert specs.vendors() == ["acme.com", "other.org"]
        assert specs.classes() == ["gpu", "nic"]
        assert specs.devices() == ["acme.com/gpu=0", "acme.com/gpu=1", "other.org/nic=eth0"]

    def test_get_spec(self, specs: Registry) -> None:
        spec = specs.get_spec("acme.com/gpu")
        assert spec is not None
        assert (spec["cdiVersion"], spec["kind"], len(spec["devices"])) == ("0.7.0", "acme.com/gpu", 2)
        assert specs.get_spec("acme.com/tpu") is None

    def test_get_spec_of_several_takes_the_highest(self, two: list[str], tmp_path: Path) -> None:
        write_files(
            tmp_path, {"low/a.yaml": spec_text(devices="low"), "high/b.yaml": spec_text(devices="b"), "high/a.yml": spec_text(devices="a")}
        )
        spec = Registry.discover(two).get_spec("acme.com/gpu")
        assert spec is not None
        assert spec["devices"][0]["name"] == "b"

    def test_get_device(self, specs: Registry) -> None:
        assert specs.get_device("acme.com/gpu=1") == {
            "name": "1",
            "annotations": {"model": "big"},
            "containerEdits": {"env": ["DEVICE=1"]},
        }
        for unknown in ("acme.com/gpu=2", "acme.com/gpu", "1", "", "=", "acme.com/gpu=*"):
            assert specs.get_device(unknown) is None

    def test_resolve_device_merges_both_levels(self, specs: Registry) -> None:
        assert specs.resolve_device("acme.com/gpu=0") == {
            "env": ["SPEC=1", "DEVICE=0"],
            "hooks": [
                {"hookName": "createContainer", "path": "/bin/spec"},
                {"hookName": "createContainer", "path": "/bin/device", "args": ["device", "0"]},
            ],
            "intelRdt": {"closID": "device"},
        }
        with pytest.raises(UnresolvedError):
            specs.resolve_device("acme.com/gpu=2")

    def test_parts_give_the_specs_own_edits_once(self, specs: Registry, two: list[str]) -> None:
        names = ["acme.com/gpu=1", "other.org/nic=eth0", "acme.com/gpu=0", "acme.com/gpu=1"]
        assert [origin for origin, _ in specs.parts(names)] == [
            (f"{two[0]}/gpu.yaml", ""),
            (f"{two[0]}/gpu.yaml", "acme.com/gpu=1"),
            (f"{two[1]}/nic.json", "other.org/nic=eth0"),
            (f"{two[0]}/gpu.yaml", "acme.com/gpu=0"),
            (f"{two[0]}/gpu.yaml", "acme.com/gpu=1"),
        ]
        assert specs.parts([]) == []

    def test_lines(self, specs: Registry) -> None:
        spec = specs.find("acme.com/gpu=1")
        assert spec is not None
        assert (spec.line(), spec.line("0"), spec.line("1"), spec.line("2")) == (2, 8, 13, 0)

    def test_expand(self, specs: Registry) -> None:
        assert specs.expand(["other.org/nic=*", "gpu", "acme.com/gpu=*", "acme.com/gpu=0", "acme.com/g=*", "*"]) == [
            "other.org/nic=eth0",
            "gpu",
            "acme.com/gpu=0",
            "acme.com/gpu=1",
            "acme.com/gpu=0",
            "acme.com/g=*",
            "*",
        ]

    def test_nothing_that_is_given_can_change_the_registry(self, specs: Registry) -> None:
        before = json.dumps([spec.spec for spec in specs.specs])
        given: list[Any] = [
            specs.get_spec("acme.com/gpu"),
            specs.get_device("acme.com/gpu=0"),
            specs.resolve_device("acme.com/gpu=0"),
            specs.inject({}, ["acme.com/gpu=0", "acme.com/gpu=1"]),
        ]
        for value in given:
            _spoil(value)
        assert json.dumps([spec.spec for spec in specs.specs]) == before

    def test_inject_leaves_the_config_alone_and_keeps_what_it_does_not_know(self, specs: Registry) -> None:
        config = {"x": {"y": [None, 1.5]}, "process": {"env": ["A=1"], "new": False}, "hooks": None}
        before = json.dumps(config)
        edited = specs.inject(config, ["other.org/nic=eth0"])
        assert json.dumps(config) == before
        assert edited == {"x": {"y": [None, 1.5]}, "process": {"env": ["A=1", "DEVICE_eth0="], "new": False}, "hooks": None}
        _spoil(edited)
        assert json.dumps(config) == before

    def test_inject_of_nothing_is_an_equal_copy(self, specs: Registry) -> None:
        config = {"mounts": [{"destination": "/b/c"}, {"destination": "/a"}]}
        assert specs.inject(config, []) == config
        assert specs.inject(config, []) is not config

    def test_a_text_is_one_name_and_one_directory(self, specs: Registry, two: list[str]) -> None:
        assert specs.inject({}, "other.org/nic=eth0") == {"process": {"env": ["DEVICE_eth0="]}}
        assert specs.expand("other.org/nic=*") == ["other.org/nic=eth0"]
        assert Registry.discover(two[0]).dirs == Registry.discover(Path(two[0])).dirs == two[:1]

    def test_inject_refuses_what_is_no_config(self, specs: Registry) -> None:
        nothing: Any = []
        with pytest.raises(BundleError, match=r"^is a list, not an object; pass the content of config\.json$"):
            specs.inject(nothing, [])
        with pytest.raises(BundleError, match=r"^mounts: is an object, not a list; "):
            specs.inject({"mounts": {}}, ["acme.com/gpu=0"])
        assert specs.inject(None, ["other.org/nic=eth0"]) == {"process": {"env": ["DEVICE_eth0="]}}

    def test_a_deep_config_is_copied(self, specs: Registry) -> None:
        deep: list[Any] = []
        for _ in range(20_000):
            deep = [deep]
        edited = specs.inject({"deep": deep}, ["acme.com/gpu=0"])
        depth = 0
        at = edited["deep"]
        while at:
            at, depth = at[0], depth + 1
        assert depth == 20_000

    def test_a_config_that_contains_itself_is_refused(self, specs: Registry) -> None:
        config: dict[str, Any] = {}
        config["linux"] = [config]
        with pytest.raises(BundleError, match=r"^is nested too deeply$"):
            specs.inject({"x": config}, ["acme.com/gpu=0"])


class TestWrite:
    SPEC: Any = json.loads(
        '{"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]}'
    )

    def test_what_is_written_is_known_at_once(self, two: list[str]) -> None:
        specs = Registry.discover(two)
        path = specs.write_spec(self.SPEC, registry.generate_name_for_spec("acme.com/gpu"))
        assert path == f"{two[1]}/acme.com-gpu.yaml"
        assert _env(specs, "acme.com/gpu=0") == ["A=1"]
        specs.remove_spec("acme.com-gpu")
        assert specs.is_empty()
        assert os.listdir(two[1]) == []

    def test_a_new_file_can_be_read_by_all_and_an_old_one_keeps_its_mode(self, two: list[str]) -> None:
        specs = Registry.discover(two)
        old_mask = os.umask(0o077)
        try:
            path = Path(specs.write_spec(self.SPEC, "x.json"))
        finally:
            os.umask(old_mask)
        assert path.stat().st_mode & 0o7777 == 0o644
        path.chmod(0o640)
        specs.write_spec(self.SPEC, "x.json")
        assert path.stat().st_mode & 0o7777 == 0o640
        assert os.listdir(two[1]) == ["x.json"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_an_old_file_keeps_its_owner(self, two: list[str]) -> None:
        path = Path(two[1], "x.json")
        path.touch()
        os.chown(path, 1, 2)
        Registry.discover(two).write_spec(self.SPEC, "x.json")
        assert (path.stat().st_uid, path.stat().st_gid) == (1, 2)

    def test_a_link_is_replaced_not_followed(self, two: list[str], tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_text("old", encoding="utf-8")
        Path(two[1], "x.json").symlink_to(target)
        Registry.discover(two).write_spec(self.SPEC, "x.json")
        assert target.read_text(encoding="utf-8") == "old"
        assert not Path(two[1], "x.json").is_symlink()

    def test_the_directory_is_made(self, tmp_path: Path) -> None:
        specs = Registry.discover([tmp_path / "a" / "b"])
        assert specs.write_spec(self.SPEC, "x") == f"{tmp_path}/a/b/x.yaml"
        assert specs.devices() == ["acme.com/gpu=0"]

    @pytest.mark.parametrize("name", ["", ".", "..", "/", "../x.json", "a/../../x", "sub/..", "/../x.json"])
    def test_names_that_lead_out_are_refused(self, two: list[str], name: str) -> None:
        specs = Registry.discover(two)
        message = f'"{name}" is not the name of a file in {two[1]}; write a plain file name'
        with pytest.raises(CdiError) as caught:
            specs.write_spec(self.SPEC, name)
        assert str(caught.value) == message
        with pytest.raises(CdiError) as caught:
            specs.remove_spec(name)
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("name", "written"),
        [("sub/x.json", "sub/x.json"), ("/x.json", "x.json"), ("a/../x.json", "x.json"), (".json", ".json"), ("x.yml", "x.yml.yaml")],
    )
    def test_names_as_the_reference_takes_them(self, two: list[str], name: str, written: str) -> None:
        assert Registry.discover(two).write_spec(self.SPEC, name) == f"{two[1]}/{written}"

    def test_a_relative_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        specs = Registry.discover(["."])
        specs.write_spec(self.SPEC, "x.json")
        assert specs.devices() == ["acme.com/gpu=0"]

    def test_nothing_is_written_of_a_spec_with_faults(self, two: list[str]) -> None:
        specs = Registry.discover(two)
        with pytest.raises(SpecError) as caught:
            specs.write_spec(dict(self.SPEC, devices=[]), "x.json")
        assert str(caught.value).startswith(f"{two[1]}/x.json: devices: ")
        with pytest.raises(FaultsError) as faults:
            specs.write_spec(dict(self.SPEC, devices=[], kind="acme"), "x.json")
        assert len(faults.value.faults) == 2
        assert os.listdir(two[1]) == []

    def test_what_the_system_refuses(self, two: list[str], tmp_path: Path) -> None:
        Path(two[1], "d.yaml", "full").mkdir(parents=True)
        Path(two[1], "empty.json").mkdir()
        (tmp_path / "file").touch()
        specs = Registry.discover(two)
        cases: list[tuple[str, str]] = [
            ("d.yaml", "is a directory"),
            ("a\0b", "(lstat: )?embedded null (byte|character in path)"),
            ("x" * 300, "the name is too long"),
        ]
        for name, words in cases:
            with pytest.raises(CdiError, match=f"cannot be written: {words}$"):
                specs.write_spec(self.SPEC, name)
        with pytest.raises(CdiError, match=r"d\.yaml: cannot be removed: "):
            specs.remove_spec("d.yaml")
        specs.remove_spec("empty.json")
        specs.remove_spec("never-there")
        with pytest.raises(CdiError, match="cannot be written: "):
            Registry.discover([tmp_path / "file"]).write_spec(self.SPEC, "x")
        assert sorted(os.listdir(two[1])) == ["d.yaml"]

    def test_without_directories(self) -> None:
        with pytest.raises(CdiError, match=r"^there is no spec directory$"):
            Registry.discover([]).write_spec(self.SPEC, "x")


def test_merge_is_empty_for_nothing() -> None:
    assert registry.merge([]) == {}
    assert registry.merge([{}, {}]) == {}


def test_examples() -> None:
    result = doctest.testmod(registry)
    assert result.attempted >= 7
    assert not result.failed


def test_the_package_loads_nothing_until_it_is_asked() -> None:
    code = "import sys, cdi_hook; before = set(sys.modules); cdi_hook.Registry; print([m for m in before if m.startswith('cdi_hook')])"
    root = os.path.dirname(os.path.dirname(cdi_hook.__file__))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "['cdi_hook']\n"
    assert cdi_hook.Registry is registry.Registry
    assert callable(cdi_hook.generate_nvidia_spec)
    misspelt = "Regitsry"
    with pytest.raises(AttributeError, match="has no attribute 'Regitsry'"):
        getattr(cdi_hook, misspelt)


def _spoil(value: Any) -> None:
    """Change a JSON value in every place."""
    if isinstance(value, dict):
        for member in value.values():
            _spoil(member)
        value["spoilt"] = True
    elif isinstance(value, list):
        for member in value:
            _spoil(member)
        value.append("spoilt")


def test_specfile_keeps_what_it_promises_to_the_registry(tmp_path: Path) -> None:
    """The registry's own tests stand on these promises."""
    (tmp_path / "a.yml").write_text(spec_text(), encoding="utf-8")
    loaded = specfile.read(str(tmp_path / "a.yml"))
    assert loaded.spec is not None
    assert loaded.line("devices[0]") == 4


def test_the_examples_of_the_manual(tmp_path: Path) -> None:
    manual = Path(__file__).resolve().parents[3] / "docs" / "api.md"
    result = doctest.testfile(str(manual), module_relative=False, globs={"directory": str(tmp_path)}, encoding="utf-8")
    assert result.attempted >= 24
    assert not result.failed


WRONG_TYPES: list[tuple[str, tuple[Any, ...], str]] = [
    ("get_device", ([],), "a device name is text, not list"),
    ("get_device", (None,), "a device name is text, not NoneType"),
    ("get_spec", (7,), "a kind is text, not int"),
    ("find", (b"acme.com/gpu=0",), "a device name is text, not bytes"),
    ("resolve_device", (7,), "a device name is text, not int"),
    ("inject", ({}, None), "device names are a list of text, not NoneType"),
    ("inject", ({}, 7), "device names are a list of text, not int"),
    ("inject", ({}, [None]), "a device name is text, not NoneType"),
    ("expand", ([["acme.com/gpu=0"]],), "a device name is text, not list"),
    ("write_spec", ({}, None), "the name of a spec file is text, not NoneType"),
    ("remove_spec", (7,), "the name of a spec file is text, not int"),
]


@pytest.mark.parametrize(("method", "args", "message"), WRONG_TYPES, ids=[f"{method}-{args[-1]!r}" for method, args, _ in WRONG_TYPES])
def test_a_value_of_a_wrong_type_is_a_sentence(tmp_path: Path, method: str, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(Registry.discover([tmp_path]), method)(*args)
    assert str(caught.value) == message
