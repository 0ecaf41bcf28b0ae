"""YAML 1.1 as the CDI reference reads it, from bytes to values that know their line. Row 2, cold.

PyYAML's C *events* and a constructor of our own: the C loader crashes the interpreter on deep nesting, lets alias bombs and duplicate
keys through, and builds Python objects from tags. The rules for plain scalars are those of the reference's YAML library (sigs.k8s.io/yaml
1.4.0 over go-yaml 2): ``yes`` is true, ``010`` is 8, ``1_000`` is 1000, ``0888`` is the float 888, timestamps stay text.

Out of scope: what the values mean (``cdi/specfile``, ``settings/file``), and writing YAML.
"""

from __future__ import annotations

from cdi_hook.errors import CdiError, FaultsError
from cdi_hook.yaml11 import libyaml
from cdi_hook.yaml11.mend import likely, mended
from cdi_hook.yaml11.scalars import INT64, is_timestamp, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from cdi_hook.yaml11.scalars import Scalar

DEPTH = 128
"""How deeply collections may be nested."""
ALIASED = 250_000
"""How many values all aliases of a document may stand for together."""
_FREE, _FEW, _MANY = 100, 400_000, 4_000_000
"""Aliases for no more values than the first are free. Else they may be 99 % of all values of a document that has no more than the second,
down to 10 % in one of the third."""
MOST_FAULTS = 100
"""How many faults of one kind are told of a document; nobody reads more."""

_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"
_KINDS = {"bool": bool, "int": int, "float": float, "null": type(None)}


class Node:
    """A value and the line where it begins. ``value``: a scalar, a list of nodes, or a map's list of `Entry`."""

    __slots__ = ("kind", "line", "size", "value")

    def __init__(self, kind: str, value: Any, line: int, size: int = 1) -> None:
        self.kind = kind
        """``map``, ``list`` or ``scalar``."""
        self.value = value
        self.line = line
        """From 1; 0 when unknown."""
        self.size = size
        """How many values it stands for, aliases expanded."""

    def plain(self) -> Any:
        """The value without lines."""
        if self.kind == "map":
            return {entry.key: entry.node.plain() for entry in self.value}
        if self.kind == "list":
            return [node.plain() for node in self.value]
        return self.value


class Entry:
    """One member of a map. ``key``: the scalar, as read."""

    __slots__ = ("key", "line", "node")

    def __init__(self, key: Scalar, node: Node, line: int) -> None:
        self.key = key
        self.node = node
        self.line = line
        """Of the key."""


class Document:
    """The first document of a text; an empty text has the value None, on line 1."""

    __slots__ = ("root",)

    def __init__(self, root: Node) -> None:
        self.root = root

    @property
    def value(self) -> Any:
        """The whole as plain dicts, lists and scalars. Of keys that are one to Python, such as 1 and true, the last holds."""
        return self.root.plain()

    def line(self, path: str) -> int:
        """The line of a field such as ``devices[2].name``: of its key if it has one, of the deepest part that is there otherwise."""
        node, line = self.root, self.root.line
        for part in path.replace("[", ".[").split("."):
            if part[:1] == "[" and node.kind == "list" and int(part[1:-1]) < len(node.value):
                node = node.value[int(part[1:-1])]
                line = node.line
            elif part[:1] != "[" and node.kind == "map":
                entry = next((entry for entry in node.value if entry.key == part), None)
                if entry is None:
                    break
                node, line = entry.node, entry.line
            else:
                break
        return line


def load(data: bytes, *, file: str = "") -> Document:
    """The first document of a YAML text; what follows it is not looked at, as in the reference.

    Valid JSON is taken even where YAML 1.1 trips over it. Raises CdiError, or FaultsError for several duplicate keys at once.
    """
    constructor = _Constructor(file)
    try:
        return constructor.document((mended(data) if likely(data) else None) or data)
    except CdiError:
        better = mended(data, constructor.error) if constructor.error is not None else None
        if better is None:
            raise
    return _Constructor(file).document(better)


def second_document(data: bytes) -> int:
    """The line on which the second document of a YAML text begins; 0 when there is none, or nobody can tell."""
    if b"\n---" not in data and b"\n..." not in data:
        return 0
    parser_class, error, events = libyaml.load()
    documents = 0
    try:
        parser = parser_class(data)
        while True:
            event = parser.get_event()
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    return int(event.start_mark.line) + 1
            elif isinstance(event, events.StreamEndEvent):
                return 0
    except (error, ValueError):
        return 0


class _Constructor:
    """Builds one document from the event stream."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()
        self.faults: list[CdiError] = []
        self.error: Any = None
        """What the parser stumbled over."""
        self.values = 0
        """How many there are so far, aliases expanded; and how many of them aliases stand for."""
        self.aliased = 0
        self.brackets = 0
        """In how many of them we are; counted only if there is a question mark somewhere."""

    def document(self, data: bytes) -> Document:
        """The first document of a text."""
        parser_class, error_class, self.events = libyaml.load()
        parser = parser_class(data)
        self.asks = b"?" in data
        try:
            self.next: Callable[[], Any] = parser.get_event
            self.next()  # StreamStartEvent
            if type(self.next()) is self.events.StreamEndEvent:
                return Document(Node("scalar", None, 1))
            root = self.node(self.next(), 0)
            # A fault right behind the document is one of the document.
            self.marks(data, self.next().start_mark.line + 1)
        except error_class as error:
            # Without the traceback, which leads back here: a cycle would keep all the nodes.
            self.error = error.with_traceback(None)
            raise self.syntax(error, data) from None
        except (UnicodeError, ValueError) as error:
            raise CdiError(f"is not YAML: {error}", file=self.file) from None
        finally:
            parser.dispose()
        if self.faults:
            raise self.faults[0] if len(self.faults) == 1 else FaultsError(self.faults)
        return Document(root)

    def node(self, event: Any, depth: int) -> Node:
        """The value that begins with this event. Most are plain scalars, so these come first and are done here."""
        kind = type(event)
        line = event.start_mark.line + 1
        anchor = event.anchor
        self.values += 1
        if kind is self.events.ScalarEvent:
            if self.brackets and not event.style and "?" in event.value:
                raise self.fault("is not YAML: has a ? in plain text between brackets", line, fix="put the text into quotes")
            if event.tag is None:
                node = Node("scalar", resolve(event.value) if event.implicit[0] else event.value, line)
            else:
                node = Node("scalar", self.tagged(event.tag, event.value, line), line)
        elif kind is self.events.AliasEvent:
            return self.alias(anchor, line)
        else:
            if depth >= DEPTH:
                raise self.too_deep(line)
            if anchor:
                # Until it is complete, an alias to it would be a loop.
                self.anchors.pop(anchor, None)
                self.open.add(anchor)
            flow = self.asks and event.flow_style
            self.brackets += flow
            node = self.mapping(line, depth + 1) if kind is self.events.MappingStartEvent else self.sequence(line, depth + 1)
            self.brackets -= flow
            self.open.discard(anchor)
        if anchor:
            self.anchors[anchor] = node
        return node

    def alias(self, name: str, line: int) -> Node:
        if name in self.open:
            raise self.fault(f"the anchor {name} contains itself", line)
        node = self.anchors.get(name)
        if node is None:
            raise self.fault(f"the alias {name} has no anchor before it", line)
        self.aliased += node.size
        self.values += node.size
        if self.aliased > ALIASED:
            raise self.fault(f"aliases stand for more than {ALIASED:,} values", line)
        allowed = 0.99 - 0.89 * min(max(self.values - _FEW, 0) / (_MANY - _FEW), 1)
        if self.aliased > _FREE and self.values > 10 * _FREE and self.aliased > self.values * allowed:
            raise self.fault(f"aliases stand for {self.aliased:,} of {self.values:,} values, which is too much", line)
        return Node(node.kind, node.value, node.line, node.size + 1)

    def sequence(self, line: int, depth: int) -> Node:
        nodes: list[Node] = []
        size = 1
        end = self.events.SequenceEndEvent
        while True:
            event = self.next()
            if type(event) is end:
                return Node("list", nodes, line, size)
            node = self.node(event, depth)
            size += node.size
            nodes.append(node)

    def mapping(self, line: int, depth: int) -> Node:
        entries: list[Entry] = []
        seen: set[Any] = set()
        size = 1
        end = self.events.MappingEndEvent
        while True:
            event = self.next()
            if type(event) is end:
                return Node("map", entries, line, size)
            merges = type(event) is self.events.ScalarEvent and event.value == _MERGE
            merges = merges and (event.implicit[0] or event.tag == _TAG + "merge")
            key = self.node(event, depth)
            node = self.node(self.next(), depth)
            size += node.size + 1
            if merges:
                for entry in self.merged(node, key.line):
                    self.enter(entries, seen, entry)
            elif key.kind != "scalar":
                raise self.fault(f"a {key.kind} is no key", key.line)
            else:
                self.enter(entries, seen, Entry(key.value, node, key.line))

    def enter(self, entries: list[Entry], seen: set[Any], entry: Entry) -> None:
        key: Any = entry.key
        if type(key) is not str:
            if key is None or (type(key) is int and key >= INT64):
                raise self.fault(f"{'an empty key' if key is None else key} is no key", entry.line)
            # With the type, since 1, 1.0 and true are one key to Python and three to YAML.
            key = (type(key), key)
        if key in seen:
            if len(self.faults) < MOST_FAULTS:
                self.faults.append(self.fault("stands twice in one map", entry.line, str(entry.key), "remove one of them"))
            return
        seen.add(key)
        entries.append(entry)

    def merged(self, node: Node, line: int) -> list[Entry]:
        """The entries that ``<<`` brings. Keys that are there already are duplicates, as the reference has it."""
        nodes = node.value if node.kind == "list" else [node]
        if any(node.kind != "map" for node in nodes):
            raise self.fault("<< takes a map, or a list of maps", line)
        return [entry for node in reversed(nodes) for entry in node.value]

    def tagged(self, tag: str, text: str, line: int) -> Scalar:
        """A scalar with a tag. Tags of YAML convert and check; others, such as those of Python, mean nothing."""
        name = tag[len(_TAG) :] if tag.startswith(_TAG) else ""
        if name == "binary":
            return self.binary(text, line)
        if name == "timestamp":
            if is_timestamp(text):
                return text
        elif name not in _KINDS:
            return text
        else:
            value = resolve(text)
            if name == "float" and type(value) is int and value < INT64:
                return float(value)
            if type(value) is _KINDS[name]:
                return value
        raise self.fault(f"{text!r} is no {name}", line)

    def binary(self, text: str, line: int) -> str:
        from base64 import b64decode

        try:
            # Go's decoder skips line ends and nothing else.
            data = b64decode(text.replace("\n", "").replace("\r", "").encode("ascii"), validate=True)
        except ValueError:
            raise self.fault("!!binary is not base64", line) from None
        # As in the reference, each byte that is no UTF-8 becomes a replacement character.
        return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in data.decode("utf-8", "surrogateescape"))

    def marks(self, data: bytes, last: int) -> None:
        """Refuse a byte order mark that begins a line up to the last, as where two files are put together: libyaml passes over it."""
        at = data.find(b"\n\xef\xbb\xbf") + 1
        line = data.count(b"\n", 0, at) + 1
        if at and line <= last:
            raise self.fault("is not YAML: has a byte order mark in its middle", line, fix="remove it")

    def fault(self, reason: str, line: int, field: str = "", fix: str = "") -> CdiError:
        return CdiError(reason, file=self.file, line=line, field=field, fix=fix)

    def syntax(self, error: Any, data: bytes) -> CdiError:
        """What the parser says, with the line where it says it."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:
            # Of bytes that are no text it knows the place alone.
            return self.fault(f"is not YAML: {error.reason}", data.count(b"\n", 0, error.position) + 1)
        if b"".join(data.split(b"\n")[mark.line : mark.line + 1])[mark.column :].startswith(b"\t"):
            return self.fault("is not YAML: has a tab where blanks belong", mark.line + 1, fix="indent with blanks")
        if "nesting depth" in error.problem:
            # libyaml has a limit of its own since 0.2.6, and looks ahead.
            return self.too_deep(mark.line + 1)
        fix = "put the text into quotes" if error.problem == "found unexpected ':'" else ""
        return self.fault(f"is not YAML: {error.problem}", mark.line + 1, fix=fix)

    def too_deep(self, line: int) -> CdiError:
        return self.fault(f"is nested more than {DEPTH} levels deep", line)


def node_of(value: Any) -> Node:
    """The nodes of a plain value, without lines: of JSON, or of what a program made, which may be of a kind that is in no YAML."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return Node("map", [Entry(key, node_of(member), 0) for key, member in value.items()], 0)
    if isinstance(value, (list, tuple)):
        return Node("list", [node_of(member) for member in value], 0)
    kind = "scalar" if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__
    return Node(kind, value, 0)
