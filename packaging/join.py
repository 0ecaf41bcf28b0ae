"""Joins the hot modules of ``cdi_hook`` into one code file, so that the wrapper imports nothing.

``join.py --lib DIR --output hot.pyc`` reads ``DIR/cdi_hook/entrypoints/wrapper.py`` (or that below ``--source``) and the modules that it
imports at module level, transitively, and writes one ``.pyc`` for the interpreter that runs this. ``python3 -I -S hot.pyc SELF ARGS...``
is then the wrapper. Docstrings and annotations are left out, since unmarshalling is most of the cost; the modules keep their own names,
so that the cold ones, which are imported from ``DIR`` as ever, find the same classes.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import marshal
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import CodeType

PACKAGE = "cdi_hook"
ENTRY_POINT = "entrypoints.wrapper"

PROLOGUE = """
import sys
import _imp
import marshal
from _frozen_importlib import ModuleSpec
def start(lib, natives, modules):
    for name, origin in natives:
        if name not in sys.modules:
            spec = ModuleSpec(name, None, origin=origin)
            try:
                if origin:
                    native = _imp.create_dynamic(spec)
                    _imp.exec_dynamic(native)
                else:
                    native = _imp.create_builtin(spec)
                    _imp.exec_builtin(native)
            except ImportError:
                continue
            sys.modules[name] = native
    if "gc" in sys.modules:
        sys.modules["gc"].disable()
    sys.path.append(lib)
    new = type(sys)
    packages = []
    for name, is_package, code in marshal.loads(modules):
        module = sys.modules[name] = new(name)
        parent, _, child = name.rpartition(".")
        if is_package:
            module.__package__ = name
            packages.append(module)
        else:
            module.__package__ = parent
        if parent:
            setattr(sys.modules[parent], child, module)
        if code is not None:
            exec(code, module.__dict__)
    for package in packages:
        package.__path__ = [lib + "/" + package.__name__.replace(".", "/")]
    return module.main(sys.argv[1:])
sys.exit(start("LIB", "NATIVES", "MODULES"))
"""
"""The only code of the joined file itself. ``natives``: C modules with their files, "" for built-in ones, loaded without the search
that ``import`` makes (0.25 ms in all); one that has moved is left to ``import``. ``modules``: name, whether it is a package, and code, in
import order, each package before what is in it and the entry point last, marshalled on their own so that no garbage is collected
meanwhile (0.1 ms; the process is short). A package learns its ``__path__`` last: with one, ``from`` searches in Python."""


class Lean(ast.NodeTransformer):
    """Takes out what no hot module needs at run time: docstrings, annotations, TYPE_CHECKING blocks and the call of a script."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node  # a module that is really imported: 0.2 ms

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        names = {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)}
        self.generic_visit(node)
        return node.orelse if names & {"TYPE_CHECKING", "__name__"} else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._filled(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._filled(node)

    def _filled(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if not node.body:
            node.body.append(ast.copy_location(ast.Pass(), node))
        return node


def tree(source: Path, name: str) -> ast.Module:
    """The lean syntax tree of a module, ``name`` without the package's own."""
    path = source_file(source, name)
    module: ast.Module = Lean().visit(ast.parse(path.read_bytes(), str(path)))
    return module


def source_file(source: Path, name: str) -> Path:
    """The file of a module or package below the package's directory."""
    place = source / name.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def imports(source: Path, name: str) -> list[str]:
    """The modules of ours that a module imports at its top, in order, TYPE_CHECKING blocks left out."""
    found = []
    for node in ast.iter_child_nodes(tree(source, name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            base = (node.module or "").partition(".")[2]
            if (source / base.replace(".", "/")).is_dir():
                found += [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            else:
                found.append(base)
    return found


def modules(source: Path) -> list[str]:
    """The hot modules in import order: what the entry point needs, each behind everything that it needs itself."""
    order: list[str] = []

    def enter(name: str) -> None:
        if name not in order:
            for other in imports(source, name):
                enter(other)
            order.append(name)

    enter(ENTRY_POINT)
    return order


def code(source: Path, name: str) -> CodeType:
    """A module's lean code. Its file name is short: no hot module uses ``__file__``."""
    place = source_file(source, name).relative_to(source)
    return bare(compile(ast.fix_missing_locations(tree(source, name)), f"{PACKAGE}/{place}", "exec", dont_inherit=True))


def bare(found: CodeType) -> CodeType:
    """Code without its table of lines, a third of what must be read; the wrapper never prints a traceback."""
    constants = tuple(bare(value) if isinstance(value, CodeType) else value for value in found.co_consts)
    table = {"co_linetable": b""} if sys.version_info >= (3, 10) else {"co_lnotab": b""}
    return found.replace(co_consts=constants, **table)  # type: ignore[arg-type]  # both names are right in their version


def natives(source: Path) -> list[tuple[str, str]]:
    """The C modules that the hot modules import at their top, with the file of each ("": built in)."""
    names: list[str] = []
    for module in modules(source):
        for node in ast.iter_child_nodes(tree(source, module)):
            if isinstance(node, ast.Import):
                names += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            elif isinstance(node, ast.Try):  # jsonio's, which can do without
                names += [name.module or "" for name in node.body if isinstance(name, ast.ImportFrom)]
    found = []
    for name in dict.fromkeys(names):
        spec = None if name.startswith(PACKAGE) else importlib.util.find_spec(name)
        if spec is not None and spec.origin == "built-in":
            found.append((name, ""))
        elif spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            found.append((name, str(spec.origin)))
    return found


def joined(source: Path, lib: str) -> bytes:
    """The bytes of the joined ``.pyc``; ``lib``: the absolute directory from which cold modules and libraries are imported."""
    hot = modules(source)
    packages = dict.fromkeys(name.rpartition(".")[0] for name in hot if "." in name)
    found: list[tuple[str, bool, CodeType | None]] = [(PACKAGE, True, code(source, ""))]
    found += [(f"{PACKAGE}.{name}", True, None) for name in packages]
    found += [(f"{PACKAGE}.{name}", False, code(source, name)) for name in hot]
    constants = {"LIB": lib, "NATIVES": (("gc", ""), *natives(source)), "MODULES": marshal.dumps(tuple(found))}
    main = compile(PROLOGUE, "cdi-runtime", "exec", dont_inherit=True)
    main = main.replace(co_consts=tuple(constants.get(value, value) if isinstance(value, str) else value for value in main.co_consts))
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(main)


def main() -> int:
    """Write the joined file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lib", required=True, help="the directory that holds cdi_hook, absolute")
    parser.add_argument("--source", help="where cdi_hook lies now, if not there yet")
    parser.add_argument("--output", required=True, help="the file to write")
    parser.add_argument("--list", action="store_true", help="print the joined modules")
    args = parser.parse_args()
    source = Path(args.source or args.lib) / PACKAGE
    Path(args.output).write_bytes(joined(source, args.lib))
    if args.list:
        print(*modules(source), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
