"""Joins the hot rooms of ``cdi_hook`` into one code file, so that the wrapper imports nothing.

``join.py --lib DIR --output hot.pyc`` reads ``DIR/cdi_hook/runtime.py`` (or that below ``--source``) and the rooms that it imports at
module level, transitively, and writes one ``.pyc`` for the interpreter that runs this. ``python3 -I -S hot.pyc SELF ARGS...`` is then
the wrapper. Docstrings and annotations are left out, since unmarshalling is most of the cost; the rooms stay modules of their own
under their own names, so that the cold rooms, which are imported from ``DIR`` as ever, find the same classes.
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
DOOR = "runtime"

PROLOGUE = """
import sys
import _imp
import marshal
from _frozen_importlib import ModuleSpec
def start(lib, natives, rooms):
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
    module = type(sys)
    package = None
    for name, code in marshal.loads(rooms):
        room = sys.modules[name] = module(name)
        room.__package__ = "cdi_hook"
        if package is None:
            package = room
            room.__path__ = [lib + "/cdi_hook"]
        else:
            setattr(package, name[9:], room)
        exec(code, room.__dict__)
    return room.main(sys.argv[1:])
sys.exit(start("LIB", "NATIVES", "ROOMS"))
"""
"""The only code of the joined file itself. ``natives``: C modules with their files, "" for built-in ones, loaded without the search
that ``import`` makes (0.25 ms in all); one that has moved is left to ``import``. ``rooms``: names and code in import order, the package
first and the door last, marshalled on their own so that no garbage is collected meanwhile (0.1 ms; the process is short)."""


class Lean(ast.NodeTransformer):
    """Takes out what no hot room needs at run time: docstrings, annotations, TYPE_CHECKING blocks and the call of a script."""

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


def tree(path: Path) -> ast.Module:
    """The syntax tree of a room's source."""
    return ast.parse(path.read_bytes(), str(path))


def imports(module: ast.Module) -> list[str]:
    """The rooms that a room imports at module level, in order, TYPE_CHECKING blocks left out."""
    found = []
    for node in ast.iter_child_nodes(Lean().visit(module)):
        if isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            if base in (PACKAGE, "."):
                found += [name.name for name in node.names]
            elif base.startswith((PACKAGE + ".", ".")):
                found.append(base.replace(PACKAGE + ".", "", 1).lstrip("."))
        elif isinstance(node, ast.Import):
            found += [name.name[len(PACKAGE) + 1 :] for name in node.names if name.name.startswith(PACKAGE + ".")]
    return found


def rooms(source: Path) -> list[str]:
    """The hot rooms in import order: what the door needs, each behind everything that it needs itself."""
    order: list[str] = []

    def enter(name: str) -> None:
        if name not in order:
            for other in imports(tree(source / f"{name}.py")):
                enter(other)
            if name not in order:
                order.append(name)

    enter(DOOR)
    return order


def code(source: Path, name: str) -> CodeType:
    """A room's lean code. Its file name is short: no hot room uses ``__file__``."""
    module = ast.fix_missing_locations(Lean().visit(tree(source / f"{name}.py")))
    return bare(compile(module, f"{PACKAGE}/{name}.py", "exec", dont_inherit=True))


def bare(found: CodeType) -> CodeType:
    """Code without its table of lines, a third of what must be read; the wrapper never prints a traceback."""
    constants = tuple(bare(value) if isinstance(value, CodeType) else value for value in found.co_consts)
    table = {"co_linetable": b""} if sys.version_info >= (3, 10) else {"co_lnotab": b""}
    return found.replace(co_consts=constants, **table)  # type: ignore[arg-type]  # both names are right in their version


def natives(source: Path) -> list[tuple[str, str]]:
    """The C modules that the hot rooms import at module level, with the file of each ("": built in)."""
    names: list[str] = []
    for room in rooms(source):
        for node in ast.iter_child_nodes(Lean().visit(tree(source / f"{room}.py"))):
            if isinstance(node, ast.Import):
                names += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
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
    """The bytes of the joined ``.pyc``; ``lib``: the absolute directory from which cold rooms and libraries are imported."""
    found = [(PACKAGE, code(source, "__init__"))]
    found += [(f"{PACKAGE}.{name}", code(source, name)) for name in rooms(source)]
    constants = {"LIB": lib, "NATIVES": (("gc", ""), *natives(source)), "ROOMS": marshal.dumps(tuple(found))}
    main = compile(PROLOGUE, "cdi-runtime", "exec", dont_inherit=True)
    main = main.replace(co_consts=tuple(constants.get(value, value) if isinstance(value, str) else value for value in main.co_consts))
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(main)


def main() -> int:
    """Write the joined file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lib", required=True, help="the directory that holds cdi_hook, absolute")
    parser.add_argument("--source", help="where cdi_hook lies now, if not there yet")
    parser.add_argument("--output", required=True, help="the file to write")
    parser.add_argument("--list", action="store_true", help="print the joined rooms")
    args = parser.parse_args()
    source = Path(args.source or args.lib) / PACKAGE
    Path(args.output).write_bytes(joined(source, args.lib))
    if args.list:
        print(*rooms(source), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
