"""JSON of OCI configs and container states: strict in, lossless out. Row 2, hot.

The C scanner and encoder behind the standard ``json`` module are used directly, since importing ``json`` costs more than the whole
work on a config (it brings ``re``). Without them (another Python implementation) the public module serves; a property test holds
both ways to the same result. What is wrong with *bad* JSON is always said by ``json`` itself: failing may be slow.

Strict means: no duplicate keys, no NaN or Infinity, no byte order mark, UTF-8 only, nothing after the document. Lossless means: key
order, unknown fields, and the text of every number survive.
"""

from __future__ import annotations

from cdi_hook.errors import BundleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    encode_basestring: Callable[[str], str]
    encode_basestring_ascii: Callable[[str], str]
    make_encoder: Any
    make_scanner: Any
else:
    try:
        from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner
    except ImportError:  # pragma: no cover - an implementation without the C accelerator
        from json.encoder import encode_basestring, encode_basestring_ascii

        make_encoder = make_scanner = None

_SPACE = " \t\n\r"
_DIGITS = 600
"""Up to here Python reads integers at any setting (CVE-2020-10735)."""


_TOO_DEEP = "is nested too deeply"


class NumberText(str):
    """A number as it stands in the source (``1.50``, ``1e3``, ``-0``), written back unchanged.

    A ``str``, because the C encoder prints every float its own way but hands strings to a function of ours.
    """

    __slots__ = ()


class _Context:
    """What the C scanner asks for: the constructors of each kind of value."""

    strict = True
    object_hook = None
    parse_float = NumberText
    parse_int: Callable[[str], object] = int

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen = set()
            for key, _ in pairs:
                if key in seen:
                    raise ValueError(f"the key {key!r} stands twice in one object")
                seen.add(key)
        return value

    @staticmethod
    def parse_constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")


class _Careful(_Context):
    """For the rare text with an integer that ``int`` does not give back: ``-0``, or one of thousands of digits, which it refuses."""

    @staticmethod
    def parse_int(text: str) -> object:
        return NumberText(text) if text == "-0" or len(text) > _DIGITS else int(text)


def loads(data: bytes | str, *, file: str = "") -> Any:
    """The value of a JSON document. ``file`` names it in errors.

    Raises BundleError when it is not strict JSON.

    >>> loads('{"a": 1.50}')
    {'a': '1.50'}
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        start = len(text) - len(text.lstrip(_SPACE))
        scanner = make_scanner or _cold_scanner
        try:
            value, end = scanner(_Careful if "-0" in text else _Context)(text, start)
        except ValueError:
            value, end = scanner(_Careful)(text, start)
        if text[end:].strip(_SPACE):
            raise ValueError("there is text after the document")
    except (StopIteration, ValueError, SystemError) as error:
        # SystemError: the C scanner of 3.11 takes its exception from json.decoder, which is not loaded, and returns without one.
        raise _cold_fault(data, file, error) from None
    except RecursionError:
        raise BundleError(_TOO_DEEP, file=file) from None
    return value


def dumps(value: Any) -> str:
    """The document in one line, without a final newline, as containerd, docker and podman write ``config.json``.

    Raises BundleError when it is nested too deeply.
    """
    try:
        text = _encode(value, _quoted)
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate, which came in as an escape and can only go out as one.
        text = _encode(value, _escaped)
    except RecursionError:
        raise BundleError(_TOO_DEEP) from None
    return text


def _encode(value: Any, string: Callable[[str], str]) -> str:
    if make_encoder is None:
        return _pure_encode(value, string)
    return "".join(make_encoder(None, _refuse, string, None, ":", ",", False, False, False)(value, 0))


def quoted(text: str) -> str:
    """A string as JSON text, in ASCII."""
    return encode_basestring_ascii(text)


def _quoted(text: str) -> str:
    return text if type(text) is NumberText else encode_basestring(text)


def _escaped(text: str) -> str:
    return text if type(text) is NumberText else encode_basestring_ascii(text)


def _refuse(value: object) -> object:
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _pure_encode(value: Any, string: Callable[[str], str]) -> str:
    """What the C encoder gives, without it."""
    if isinstance(value, str):
        return string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and value - value == 0:
        return float.__repr__(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{string(key)}:{_pure_encode(member, string)}" for key, member in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_pure_encode(member, string) for member in value) + "]"
    return str(_refuse(value))


def _cold_scanner(context: type[_Context]) -> Callable[[str, int], tuple[Any, int]]:
    """The scanner in Python, which wants three more attributes of its context."""
    from json.decoder import JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
    from json.scanner import py_make_scanner  # type: ignore[attr-defined]

    members = {"parse_object": JSONObject, "parse_array": JSONArray, "parse_string": staticmethod(scanstring), "memo": {}}
    return py_make_scanner(type("Context", (context,), members))  # type: ignore[no-any-return]


def _cold_fault(data: bytes | str, file: str, error: Exception) -> BundleError:
    """The reason in the words of the standard module, which knows line and column."""
    import json

    try:
        json.loads(data.decode("utf-8") if isinstance(data, bytes) else data)
    except json.JSONDecodeError as fault:
        reason = f"is not JSON: {fault.msg[:1].lower()}{fault.msg[1:]} (column {fault.colno})"
        return BundleError(reason, file=file, line=fault.lineno)
    except UnicodeDecodeError as fault:
        return BundleError(f"is not JSON: byte {fault.start} is not UTF-8", file=file)
    except RecursionError:
        return BundleError(_TOO_DEEP, file=file)
    except ValueError:
        pass
    return BundleError(f"is not plain JSON: {error}", file=file)
