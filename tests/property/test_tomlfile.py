"""Laws of editing engines' TOML: whatever the layout of a file, configure, again, check and undo are right, and other lines stay."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cdi_hook import engines
from cdi_hook.cli.configure import make_plan
from cdi_hook.engines import journal, tomlfile
from cdi_hook.engines.base import Plan, Request, Site
from cdi_hook.engines.tomlspans import Layout
from cdi_hook.errors import EngineError
from tests.unit.engines.conftest import program

CRI = "io.containerd.grpc.v1.cri"
RUNC = {"runtime_type": "io.containerd.runc.v2"}
Values = dict[str, Any]

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.sampled_from([0.5, 1e9, "", "a b", "[x]", "{", "}", "# no comment", "é", 'a"b', "c'd", "e\\f", "= 1"]),
    st.lists(st.sampled_from(["a", "]", "b,c", "#"]), max_size=3),
)
KEYS = st.sampled_from(["a", "b-c", "d.e", "f g", "#", "=", "1", '"', "[h]"])
TABLES: st.SearchStrategy[Values] = st.dictionaries(
    KEYS, st.one_of(SCALARS, st.dictionaries(KEYS, st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS, max_size=2)), max_size=2)), max_size=3
)


@st.composite
def configurations(draw: st.DrawFn) -> Values:
    """What a containerd may be configured with, our handler not."""
    cri: Values = {**draw(TABLES), "sandbox_image": "pause"}
    if draw(st.booleans()):
        cri["containerd"] = {**draw(TABLES), **({"runtimes": {"runc": {**RUNC, **draw(TABLES)}}} if draw(st.booleans()) else {})}
    values: Values = {"version": 2, **draw(TABLES)}
    values["plugins"] = {**draw(TABLES), **({CRI: cri} if draw(st.booleans()) else {}), "io.containerd.internal.v1.opt": draw(TABLES)}
    return values


class Writer:
    """Writes values as TOML in a layout that the draws decide."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.sections: list[str] = []
        self.end = draw(st.sampled_from(["\n", "\r\n"]))

    def key(self, key: str) -> str:
        forms = [json.dumps(key, ensure_ascii=False)]
        if "'" not in key:
            forms.append(f"'{key}'")
        if key.replace("-", "").isalnum() and key.isascii():
            forms.append(key)
        return str(self.draw(st.sampled_from(forms)))

    def path(self, keys: list[str]) -> str:
        return str(self.draw(st.sampled_from([".", " . "]))).join(self.key(key) for key in keys)

    def literal(self, value: Any, *, one_line: bool = False) -> str:
        if isinstance(value, dict):
            members = ", ".join(f"{self.key(key)}={self.literal(item, one_line=True)}" for key, item in value.items())
            return f"{{{members}}}" if self.draw(st.booleans()) else f"{{ {members} }}"
        if isinstance(value, list) and not one_line and self.draw(st.booleans()):
            return "[" + "".join(f"{self.end}  {self.literal(item)}, # ]" for item in value) + f"{self.end}]"
        if isinstance(value, str) and self.draw(st.booleans()):
            if "'" not in value:
                return f"'{value}'"
            if not one_line:
                return f'"""{json.dumps(value, ensure_ascii=False)[1:-1]}"""'
        return tomlfile._literal(value)

    def noise(self) -> str:
        return str(self.draw(st.sampled_from(["", "", "", "{end}", "# [comment]{end}", "  # k = 1{end}"]))).replace("{end}", self.end)

    def body(self, path: list[str], values: Values, indent: str) -> str:
        """The keys of a table; tables in it become dotted keys, inline tables, or sections of their own."""
        lines = []
        for key, value in values.items():
            style = self.draw(st.sampled_from(["header", "header", "dotted", "inline"])) if isinstance(value, dict) else ""
            if style == "header" or (style == "dotted" and not value):
                self.section([*path, key], value)
                continue
            for keys, item in leaves([key], value) if style == "dotted" else [([key], value)]:
                comment = self.draw(st.sampled_from(["", "  # kept", "#"]))
                lines.append(f"{self.noise()}{indent}{self.path(keys)} = {self.literal(item)}{comment}{self.end}")
        return "".join(lines)

    def section(self, path: list[str], values: Values) -> None:
        indent = str(self.draw(st.sampled_from(["", "  ", "\t", "      "])))
        head = f"{self.noise()}{indent}[{self.path(path)}]{self.draw(st.sampled_from(['', ' # head']))}{self.end}"
        self.sections.append(head + self.body(path, values, indent + str(self.draw(st.sampled_from(["", "  "])))))

    def whole(self, values: Values) -> str:
        top = self.body([], values, "")
        array = [f"[[list]]{self.end}k = 1{self.end}" for _ in range(self.draw(st.integers(0, 2)))]
        sections = self.draw(st.permutations(self.sections))
        at = self.draw(st.integers(0, len(sections)))
        text = top + "".join([*sections[:at], *array, *sections[at:]])
        return text.rstrip("\r\n") if self.draw(st.booleans()) else text


def leaves(path: list[str], value: Any) -> list[tuple[list[str], Any]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [leaf for key, item in value.items() for leaf in leaves([*path, key], item)]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A configuration as text. Some layouts are no TOML (a table that dots have made is opened again), and are drawn anew."""
    text = Writer(draw).whole(draw(configurations()))
    try:
        tomlfile.parse(text, "")
    except EngineError:
        assume(False)
    return text


def site_below(root: str) -> Site:
    for name in ("cdi-runtime", "runc"):
        program(Path(root, "bin", name))
    return Site(
        wrapper=f"{root}/bin/cdi-runtime", settings=f"{root}/config.yaml", state=f"{root}/state", path=f"{root}/bin", root=root, hooks=root
    )


def expected(before: Values) -> Values:
    """The old values and exactly what was asked."""
    after: Values = json.loads(json.dumps(before))
    runtimes = after["plugins"].setdefault(CRI, {}).setdefault("containerd", {}).setdefault("runtimes", {})
    runc = runtimes.setdefault("runc", dict(RUNC))
    entry = {key: value for key, value in runc.items() if key not in ("options", "container_annotations", "pod_annotations")}
    runtimes["cdi"] = {**entry, "container_annotations": ["cdi.k8s.io/*", "nvidia.cdi.k8s.io/*"], "options": {"BinaryName": "WRAPPER"}}
    return after


def configured(site: Site, config: str) -> Plan:
    request, engine = Request(config=config), engines.load("containerd")
    plan = make_plan(site, engine, request)
    if plan.changes:
        journal.apply(site, engine, request, plan)
    return plan


def undone(site: Site, config: str) -> None:
    journal.Undo(site, engines.load("containerd"), Request(config=config)).write()


def lost(old: str, new: str) -> list[str]:
    """The lines of the old text that are not, in their order, in the new one."""
    missing, at, after = [], 0, new.splitlines(keepends=True)
    for line in old.splitlines(keepends=True):
        if line in after[at:]:
            at = after.index(line, at) + 1
        else:
            missing.append(line)
    return missing


DEBIAN = """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
"""


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(texts())
@example(DEBIAN)
@example(DEBIAN.replace("\n", "\r\n"))
@example('version = 2\nplugins = {"io.containerd.grpc.v1.cri" = {containerd = {runtimes = {}}}}\n')
@example('version = 2\nplugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.runtime_type = "io.containerd.runc.v2"\n')
def test_configure_again_check_and_undo(text: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        site = site_below(root)
        file = Path(root, "c.toml")
        file.write_bytes(text.encode())
        before = tomlfile.parse(text, "")
        configured(site, str(file))
        after = file.read_bytes().decode()
        found = json.loads(json.dumps(tomlfile._filled(tomlfile.parse(after, ""))).replace(site.wrapper, "WRAPPER"))
        assert found == tomlfile._filled(expected(before))
        inline = any(after[entry.value[0]] == "{" for entry in Layout(after).entries)
        ending = "" if text.endswith("\n") else tomlfile._break(text)
        assert len(lost(text + ending, after + ending)) <= (1 if inline else 0)
        assert not make_plan(site, engines.load("containerd"), Request(config=str(file))).changes, "once more changes something"
        file.write_bytes(after.encode() + b"# mine\n")
        undone(site, str(file))
        assert tomlfile._filled(tomlfile.parse(file.read_bytes().decode(), "")) == tomlfile._filled(before), "undone beside another change"
        file.write_bytes(text.encode())
        configured(site, str(file))
        undone(site, str(file))
        assert file.read_bytes() == text.encode()


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(texts())
def test_every_part_is_where_it_is_said_to_be(text: str) -> None:
    """Each key's text means the key, and each value's text the value."""
    values = tomlfile.parse(text, "")
    entries = Layout(text).entries
    for entry in entries:
        if entry.path is not None:
            assert tomlfile.parse(f"x = {text[slice(*entry.value)]}", "")["x"] == tomlfile.get(values, entry.path)
    assert {entry.path for entry in entries if entry.inside < 0 and entry.header < 0 and len(entry.path or ()) == 1} <= {
        (key,) for key in values
    }


@pytest.mark.parametrize("text", ["", "\n", "# only a comment"])
def test_next_to_nothing(text: str) -> None:
    assert tomlfile.parse(tomlfile.add_table(text, ("a", "b"), {"c": 1}, "f"), "f") == {"a": {"b": {"c": 1}}}
