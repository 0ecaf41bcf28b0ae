"""YAML 1.1 as the CDI reference reads it, from bytes to values that know their line. Layer 1, cold.

PyYAML's C *events* and a constructor of our own: the C loader crashes the interpreter on deep nesting, lets alias bombs and duplicate
keys through, and builds Python objects from tags. The rules for plain scalars are those of the reference's YAML library (sigs.k8s.io/yaml
1.4.0 over go-yaml 2): ``yes`` is true, ``010`` is 8, ``1_000`` is 1000, ``0888`` is the float 888, timestamps stay text.

Out of scope: what the values mean (``specfile``, ``settingsfile``), and writing YAML.
"""

from __future__ import annotations

import re

from cdi_hook.errors import CdiError, FaultsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Union

    Scalar = Union[None, bool, int, float, str]

DEPTH = 128
"""How deeply collections may be nested."""
ALIAS_SIZE = 100_000
"""How many values all aliases of a document may stand for together."""

_INT64 = 1 << 63
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_POINT_FLOAT = re.compile(r"\.[0-9]+([eE][-+]?[0-9]+)?", re.ASCII)
_DIGITS = {2: "01", 8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_BASES = {"x": 16, "o": 8, "b": 2}
_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"

_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
for _value, _names in ((True, "y Y yes Yes YES true True TRUE on On ON"), (False, "n N no No NO false False FALSE off Off OFF")):
    _WORDS.update(dict.fromkeys(_names.split(), _value))
for _sign in ("", "+", "-"):
    _WORDS.update(dict.fromkeys((f"{_sign}.inf", f"{_sign}.Inf", f"{_sign}.INF"), float(f"{_sign}inf")))
_WORDS.update(dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")))


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
        """The whole as plain dicts, lists and scalars."""
        return self.root.plain()

    def line(self, path: str) -> int:
        """The line of a field such as ``devices[2].name``: of its key if it has one, of the deepest part that is there otherwise."""
        node, line = self.root, self.root.line
        for part in re.findall(r"[^.\[\]]+|\[\d+\]", path):
            if part[0] == "[" and node.kind == "list" and int(part[1:-1]) < len(node.value):
                node = node.value[int(part[1:-1])]
                line = node.line
            elif part[0] != "[" and node.kind == "map":
                entry = next((entry for entry in node.value if entry.key == part), None)
                if entry is None:
                    break
                node, line = entry.node, entry.line
            else:
                break
        return line


def load(data: bytes, *, file: str = "", json: bool = False) -> Document:
    """The first document of a YAML text; what follows it is not looked at, as in the reference.

    ``json``: the text is meant to be JSON, and valid JSON is taken even where YAML 1.1 trips over it. Raises CdiError, or FaultsError
    for several duplicate keys at once.
    """
    try:
        return _Constructor(file).document(data)
    except CdiError:
        found = _from_json(data) if json else None
        if found is None:
            raise
        return found


class _Constructor:
    """Builds one document from the event stream."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()
        self.faults: list[CdiError] = []
        self.aliased = 0

    def document(self, data: bytes) -> Document:
        from yaml import YAMLError
        from yaml.cyaml import CParser  # type: ignore[attr-defined] # the stubs hide it

        parser = CParser(data)
        try:
            self.next: Callable[[], Any] = parser.get_event
            self.next()  # StreamStartEvent
            event = self.next()
            if type(event).__name__ == "StreamEndEvent":
                return Document(Node("scalar", None, 1))
            root = self.node(self.next(), 0)
            self.next()  # DocumentEndEvent: a fault right behind the document is one of the document
        except YAMLError as error:
            raise self.syntax(error) from None
        except (UnicodeError, ValueError) as error:
            raise CdiError(f"is not YAML: {error}", file=self.file) from None
        finally:
            parser.dispose()
        if self.faults:
            raise self.faults[0] if len(self.faults) == 1 else FaultsError(self.faults)
        return Document(root)

    def node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if kind == "AliasEvent":
            return self.alias(event.anchor, line)
        if kind == "ScalarEvent":
            node = Node("scalar", self.scalar(event, line), line)
        else:
            if depth >= DEPTH:
                raise self.fault(f"is nested more than {DEPTH} levels deep", line)
            if event.anchor:
                # Until it is complete, an alias to it would be a loop.
                self.anchors.pop(event.anchor, None)
                self.open.add(event.anchor)
            node = self.mapping(line, depth + 1) if kind == "MappingStartEvent" else self.sequence(line, depth + 1)
            self.open.discard(event.anchor)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, name: str, line: int) -> Node:
        if name in self.open:
            raise self.fault(f"the anchor {name} contains itself", line)
        node = self.anchors.get(name)
        if node is None:
            raise self.fault(f"the alias {name} has no anchor before it", line)
        self.aliased += node.size
        if self.aliased > ALIAS_SIZE:
            raise self.fault(f"aliases stand for more than {ALIAS_SIZE:,} values", line)
        return node

    def sequence(self, line: int, depth: int) -> Node:
        nodes: list[Node] = []
        size = 1
        while True:
            event = self.next()
            if type(event).__name__ == "SequenceEndEvent":
                return Node("list", nodes, line, size)
            node = self.node(event, depth)
            size += node.size
            nodes.append(node)

    def mapping(self, line: int, depth: int) -> Node:
        entries: list[Entry] = []
        seen: set[tuple[type, Scalar]] = set()
        size = 1
        while True:
            event = self.next()
            if type(event).__name__ == "MappingEndEvent":
                return Node("map", entries, line, size)
            merges = type(event).__name__ == "ScalarEvent" and event.value == _MERGE
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

    def enter(self, entries: list[Entry], seen: set[tuple[type, Scalar]], entry: Entry) -> None:
        # With the type, since 1, 1.0 and true are one key to Python and three to YAML.
        key = (type(entry.key), entry.key)
        if key in seen:
            self.faults.append(self.fault("stands twice in one map", entry.line, str(entry.key), "remove one of them"))
            return
        if entry.key is None or (isinstance(entry.key, int) and entry.key >= _INT64):
            raise self.fault(f"{'an empty key' if entry.key is None else entry.key} is no key", entry.line)
        seen.add(key)
        entries.append(entry)

    def merged(self, node: Node, line: int) -> list[Entry]:
        """The entries that ``<<`` brings. Keys that are there already are duplicates, as the reference has it."""
        nodes = node.value if node.kind == "list" else [node]
        if any(node.kind != "map" for node in nodes):
            raise self.fault("<< takes a map, or a list of maps", line)
        return [entry for node in reversed(nodes) for entry in node.value]

    def scalar(self, event: Any, line: int) -> Scalar:
        text: str = event.value
        tag: str | None = event.tag
        if tag is None:
            return resolve(text) if event.implicit[0] else text
        if not tag.startswith(_TAG):
            return text
        name = tag[len(_TAG) :]
        if name == "binary":
            return self.binary(text, line)
        if name not in ("bool", "int", "float", "null", "timestamp"):
            return text
        value = resolve(text)
        kinds = {"bool": bool, "int": int, "float": float, "null": type(None)}
        if name == "float" and type(value) is int and value < _INT64:
            return float(value)
        if name == "timestamp":
            if _is_timestamp(text):
                return text
        elif type(value) is kinds[name]:
            return value
        raise self.fault(f"{text!r} is no {name}", line)

    def binary(self, text: str, line: int) -> str:
        from base64 import b64decode

        try:
            # Go's decoder skips line ends and nothing else.
            return b64decode(text.replace("\n", "").replace("\r", "").encode("ascii"), validate=True).decode("utf-8", "replace")
        except ValueError:
            raise self.fault("!!binary is not base64", line) from None

    def fault(self, reason: str, line: int, field: str = "", fix: str = "") -> CdiError:
        return CdiError(reason, file=self.file, line=line, field=field, fix=fix)

    def syntax(self, error: Any) -> CdiError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
        return self.fault(f"is not YAML: {problem}", mark.line + 1 if mark is not None else 0)


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. Integers are those of 64 bits, signed or not; larger ones become floats.

    >>> resolve("yes"), resolve("010"), resolve("0888"), resolve("1e3"), resolve("2001-01-01")
    (True, 8, 888.0, 1000.0, '2001-01-01')
    """
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        return _float(text) if _POINT_FLOAT.fullmatch(text) else text
    if first not in "+-0123456789" or _is_timestamp(text):
        return text
    number = text.replace("_", "")
    whole = _int(number)
    if whole is not None:
        return whole
    return _float(number, text) if _FLOAT.fullmatch(number) else text


def _float(number: str, text: str = "") -> float | str:
    value = float(number)
    return (text or number) if value in (float("inf"), float("-inf")) else value


def _int(text: str) -> int | None:
    """As Go's ``strconv.ParseInt`` and ``ParseUint`` with base 0."""
    signed = text[0] in "+-"
    body = text[1:] if signed else text
    base = 10
    if len(body) > 1 and body[0] == "0":
        base = _BASES.get(body[1].lower(), 8)
        body = body[1:] if base == 8 and body[1] not in "oO" else body[2:]
    if not body or body.strip(_DIGITS[base]) or len(body) > 64:
        return None
    value = -int(body, base) if text[0] == "-" else int(body, base)
    if -_INT64 <= value < _INT64 or (value < 2 * _INT64 and not signed):
        return value
    return None


def _is_timestamp(text: str) -> bool:
    """Whether go-yaml takes it for a time, which it then leaves as text: a valid date, alone or with a time."""
    if len(text) < 8 or text[4] != "-" or not text[:4].isdecimal():
        return False
    match = re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)(?:([Tt ])(\d\d?):(\d\d?):(\d\d?)(?:[.,](\d+))?(Z|[-+]\d\d:\d\d)?)?", text, re.ASCII)
    if match is None or (match[4] is not None and (match[4] == " ") != (match[9] is None)):
        return False
    year, month, day = (int(match[at]) for at in (1, 2, 3))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (1 <= month <= 12 and 1 <= day <= days[month - 1]):
        return False
    return match[4] is None or (int(match[5]) < 24 and int(match[6]) < 60 and int(match[7]) < 60)


def float_text(value: float) -> str:
    """A float as text, in Go's shortest form for 32 bits, which is what the reference makes of a number where text belongs.

    >>> float_text(1.23456789012), float_text(1e20), float_text(2.0)
    ('1.2345679', '1e+20', '2')
    """
    from struct import pack, unpack

    if value != value:
        return "NaN"
    try:
        short = unpack("f", pack("f", value))[0]
    except OverflowError:
        short = float("inf") if value > 0 else float("-inf")
    if short in (float("inf"), float("-inf")):
        return "+Inf" if short > 0 else "-Inf"
    for precision in range(9):
        text = f"{short:.{precision}e}"
        if unpack("f", pack("f", float(text)))[0] == short:
            break
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    if power < -4 or power >= 6:
        return text
    digits = mantissa.replace(".", "").lstrip("-")
    sign = "-" if text.startswith("-") else ""
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, part = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def _from_json(data: bytes) -> Document | None:
    """The document if the text is valid JSON, without lines; None otherwise."""
    from json import loads

    def unique(pairs: list[tuple[str, Any]]) -> Node:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("duplicate key")
        entries = [Entry(key, node_of(value), 0) for key, value in pairs]
        return Node("map", entries, 0)

    def refuse(name: str) -> object:
        raise ValueError(name)

    try:
        text = data.decode("utf-8")
        value = loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_int=resolve, parse_float=resolve)
        text.encode("utf-8")
        return Document(node_of(value))
    except (ValueError, RecursionError):
        return None


def node_of(value: Any) -> Node:
    """The nodes of a plain value, without lines: of JSON, or of what a program made."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return Node("map", [Entry(key, node_of(member), 0) for key, member in value.items()], 0)
    if isinstance(value, (list, tuple)):
        return Node("list", [node_of(member) for member in value], 0)
    return Node("scalar", value, 0)
