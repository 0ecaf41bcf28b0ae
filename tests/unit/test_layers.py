"""Who may import whom. The order stands here once; every import of the package is read and held against it.

And what a hot create loads, by a process that does one: a list does not flake, times do.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cdi_hook"

ROWS: list[list[str]] = [
    ["errors", "model", "memory", "host"],
    ["oci/", "yaml11/", "audit/"],
    ["linux/", "settings/"],
    ["cdi/", "engines/", "live/"],
    ["pipeline/", "generate/"],
    ["__init__", "diagnostics/", "entrypoints/"],
    ["cli/"],
    ["__main__"],
]
"""From the ground up: a module may import what stands in a row above its own, and a package what is in itself."""

API = "__init__"
"""``cdi_hook/__init__.py`` gives the API its names, lazily."""

HOT = {
    "errors",
    "memory",
    "host",
    "oci/jsonio",
    "oci/arguments",
    "oci/bundle",
    "settings/values",
    "cdi/names",
    "cdi/annotations",
    "cdi/index",
    "cdi/edits",
    "pipeline/stale",
    "pipeline/harden",
    "pipeline/plan",
    "entrypoints/wrapper",
    "entrypoints/precreate",
}

BUILT_IN = {"sys", "posix", "errno", "_json", "_signal", "marshal", "binascii", "time", "__future__"}
"""What hot modules may import from outside: compiled into the interpreter, or (``__future__``) gone at run time."""

LOADED_BY_A_HOT_CREATE = ["cdi_hook"] + [
    f"cdi_hook.{name}"
    for name in (
        "cdi",
        "cdi.annotations",
        "cdi.edits",
        "cdi.index",
        "cdi.names",
        "entrypoints",
        "entrypoints.wrapper",
        "errors",
        "host",
        "memory",
        "oci",
        "oci.arguments",
        "oci.bundle",
        "oci.jsonio",
        "pipeline",
        "pipeline.harden",
        "pipeline.plan",
        "pipeline.stale",
        "settings",
        "settings.values",
    )
]
"""Besides what is built in. Whoever adds to it argues why, with a measurement."""


class Import(NamedTuple):
    module: str
    """The importing module, such as ``cli/main``."""
    line: int
    target: str
    """``edits``, ``linux/mounts``, or ``os`` from outside with ``outside`` set."""
    outside: bool
    function: str
    """The name of the outermost function that holds it; empty at the top of the module."""
    first: bool
    """Whether nothing but the docstring and other imports stands before it in that function."""


def modules() -> list[str]:
    """Every module of the package, such as ``edits`` or ``cli/main``; a package's ``__init__`` is ``cli/__init__``."""
    return sorted(str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.py"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(module: str) -> list[Import]:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(), module)
    return list(visit(tree.body, module, "", True))


def visit(body: list[ast.stmt], module: str, function: str, at_start: bool) -> Iterator[Import]:
    for at, node in enumerate(body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for target, outside in targets(node, module):
                yield Import(module, node.lineno, target, outside, function, at_start)
            continue
        if at == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # the docstring
        if function:
            at_start = False
        if is_type_checking(node):
            assert isinstance(node, ast.If)
            yield from visit(node.orelse, module, function, at_start)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from visit(node.body, module, function or node.name, True)
        else:
            for inner in (getattr(node, name, []) for name in ("body", "orelse", "finalbody")):
                yield from visit(inner, module, function, at_start)
            for handler in getattr(node, "handlers", []):
                yield from visit(handler.body, module, function, at_start)


def targets(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        assert node.level == 0, f"{module}:{node.lineno}: write imports in full"
        # A name of a package may be a module of its own.
        base = node.module or ""
        names = [f"{base}.{alias.name}" if base == "cdi_hook" or is_module(f"{base}.{alias.name}") else base for alias in node.names]
    for name in dict.fromkeys(names):
        outside = name.partition(".")[0] != "cdi_hook"
        yield (name.partition(".")[0] if outside else name.partition(".")[2].replace(".", "/") or API), outside


def is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return name.startswith("cdi_hook.") and (path.with_suffix(".py").exists() or path.is_dir())


def row_of(module: str) -> int:
    for at, row in enumerate(ROWS):
        if module in row or any(entry.endswith("/") and module.startswith(entry) for entry in row):
            return at
        # A package imported by its own name.
        if f"{module}/" in row:
            return at
    return -1


def package(module: str) -> str:
    return module.partition("/")[0] if "/" in module else module


ALL = [found for module in modules() for found in imports(module)]


def show(found: Import) -> str:
    return f"{found.module}:{found.line} imports {found.target}"


def test_every_module_has_its_place() -> None:
    assert [module for module in modules() if row_of(module) < 0] == []


def test_imports_point_down() -> None:
    inside = [found for found in ALL if not found.outside]
    wrong = [found for found in inside if row_of(found.target) >= row_of(found.module) and package(found.target) != package(found.module)]
    assert [show(found) for found in wrong] == []


def test_nobody_stands_in_a_circle() -> None:
    """Not even two modules of one package, and not through an airlock."""
    needs: dict[str, set[str]] = {module: set() for module in modules()}
    for found in ALL:
        if not found.outside:
            target = found.target if found.target in needs else f"{found.target}/__init__"
            needs[found.module].add(target)
    while True:
        free = {module for module, needed in needs.items() if not needed & set(needs)}
        if not free:
            break
        needs = {module: needed for module, needed in needs.items() if module not in free}
    assert sorted(needs) == []


def test_the_root_holds_the_face_and_the_ground_alone() -> None:
    assert [module for module in modules() if "/" not in module] == ["__init__", "__main__", "errors", "host", "memory", "model"]


def test_nobody_imports_the_shapes_at_run_time() -> None:
    assert [show(found) for found in ALL if found.target == "model"] == []


def is_airlock(found: Import) -> bool:
    return found.function.startswith("_cold_")


def test_hot_modules_import_hot_and_built_in_modules_alone() -> None:
    hot = [found for found in ALL if found.module in HOT and not is_airlock(found)]
    wrong = [found for found in hot if found.target not in (BUILT_IN if found.outside else HOT)]
    # What serves an interpreter without the C accelerator is never reached on CPython.
    wrong = [found for found in wrong if (found.module, found.target) != ("oci/jsonio", "json")]
    assert [show(found) for found in wrong] == []


def test_what_hot_modules_may_import_is_compiled_into_the_interpreter() -> None:
    names = sorted(BUILT_IN - {"__future__", "_json"})
    code = f"import sys; print([name for name in {names!r} if name not in sys.builtin_module_names])"
    # Debian's interpreter, which install.sh takes; others build some of them as files.
    python = "/usr/bin/python3"
    if not os.path.exists(python):
        pytest.skip("no /usr/bin/python3")
    assert subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout == "[]\n"


def test_airlocks_begin_with_their_imports() -> None:
    airlocks = [found for found in ALL if is_airlock(found)]
    assert airlocks
    assert [show(found) for found in airlocks if not found.first] == []


def test_hot_modules_have_airlocks_alone_for_cold_rooms() -> None:
    """Every function named so has an import, and no airlock leads to what is hot anyway."""
    for module in sorted(HOT & set(modules())):
        tree = ast.parse((PACKAGE / f"{module}.py").read_text())
        named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("_cold_")}
        entered = {found.function for found in imports(module) if is_airlock(found) and (found.outside or found.target not in HOT)}
        assert named == entered, module


@pytest.mark.parametrize("module", sorted(HOT & set(modules())))
def test_hot_modules_use_no_path_of_their_own(module: str) -> None:
    """They can be joined into one code file, or frozen into an interpreter."""
    names = {node.id for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())) if isinstance(node, ast.Name)}
    assert names & {"__file__", "__path__", "__import__", "__loader__", "__spec__"} == set()


def test_linux_knows_no_cdi_word() -> None:
    wrong = [found for found in ALL if found.module.startswith("linux/") and not found.outside]
    allowed = {"errors", "oci/jsonio"}
    assert [show(found) for found in wrong if found.target not in allowed and package(found.target) != "linux"] == []


# --- what a hot create loads


def test_a_hot_create_loads_these_modules_and_no_other(tmp_path: Path) -> None:
    """From the source tree, with an index that is there: ours as listed, and nothing that a bare interpreter has not got already."""
    bundle, specs, home = tmp_path / "bundle", tmp_path / "specs", tmp_path / "run"
    for directory in (bundle, specs, home):
        directory.mkdir()
    spec = {"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]}
    (specs / "acme.json").write_text(json.dumps(spec))
    os.utime(specs / "acme.json")
    settings = tmp_path / "config.yaml"
    settings.write_text(f"runtime: /bin/true\nspecDirs: [{specs}]\n")
    environment = {"CDI_HOOK_CONFIG": str(settings), "XDG_RUNTIME_DIR": str(home), "PATH": "/usr/bin:/bin"}
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)\n"
        "from cdi_hook import memory\nfrom cdi_hook.oci import bundle\nfrom cdi_hook.entrypoints import wrapper\n"
        f"memory.SYSTEM_HOME = {str(home / 'cdi-hook')!r}\n"
        "import posix; bundle.execute = lambda runtime, args: (print(sorted(set(sys.modules) - before), flush=True), posix._exit(0))\n"
        "wrapper.wrap('/nowhere/cdi-runtime', ['create', '--bundle', sys.argv[1], 'c1'], ['', ''])\n"
    )

    def create() -> str:
        config = {"annotations": {"cdi.k8s.io/x": "acme.com/gpu=0"}}
        (bundle / "config.json").write_text(json.dumps(config))
        command = [sys.executable, "-I", "-S", "-B", "-c", code, str(bundle)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
        assert json.loads((bundle / "config.json").read_text()) == {**config, "process": {"env": ["A=1"]}}
        return done.stdout

    # The first one reads the spec, and writes the index once the spec is older than the clock's grain.
    deadline = 100
    while not list(home.glob("cdi-hook/index-*")) and deadline:
        create_with_yaml(code, bundle, environment)
        deadline -= 1
    assert deadline
    loaded: list[str] = ast.literal_eval(create())
    assert [name for name in loaded if name not in BUILT_IN] == LOADED_BY_A_HOT_CREATE
    assert {"_json", "binascii"} <= set(loaded)


def create_with_yaml(code: str, bundle: Path, environment: dict[str, str]) -> None:
    """The same create where the cold modules find their dependencies."""
    (bundle / "config.json").write_text('{"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"}}')
    path = [entry for entry in sys.path if entry]
    command = [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path.extend({path!r})\n{code}", str(bundle)]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30)
