"""Requests that a container carries in its annotations: reading and writing them. Row 4, hot.

The form is a convention of the CDI reference library and of Kubernetes' device plugins, not of the CDI specification:
``cdi.k8s.io/<anything>: vendor.com/class=device[,…]``. The names of all matching annotations make up one request. The reference visits
the annotations of a container in random order; here it is the order of their keys, so a container is the same at each start.
"""

from __future__ import annotations

from cdi_hook.cdi.names import check_annotation_name, parse_qualified_name, quoted, split_selector
from cdi_hook.errors import BundleError, NameSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "cdi.k8s.io/"
"""How the key of an annotation begins that asks for devices."""

_MAX_NAME = 63
"""How long the part of a key behind the slash may be: a limit of Kubernetes, in characters (all of them ASCII)."""


def parse_annotations(mapping: Mapping[str, str] | None, prefixes: Iterable[str] = (PREFIX,)) -> tuple[list[str], list[str]]:
    """The keys that ask for devices, sorted, and the devices that they ask for, in that order; duplicates are kept.

    Raises `NameSyntaxError` for the first name that is no qualified device name (an empty one too; blanks are not trimmed), and
    `BundleError` for a value that is not text. Follows the reference's ``ParseAnnotations`` but for the order of keys.

    >>> parse_annotations({"cdi.k8s.io/b": "acme.com/gpu=1", "cdi.k8s.io/a": "acme.com/gpu=0,acme.com/nic=x", "other": "?"})
    (['cdi.k8s.io/a', 'cdi.k8s.io/b'], ['acme.com/gpu=0', 'acme.com/nic=x', 'acme.com/gpu=1'])
    """
    # Each matching key has at least one name (text splits into one piece or more), so no key is lost on this way round.
    found = requests(mapping, prefixes)
    return list(dict.fromkeys(key for _, key in found)), [name for name, _ in found]


def requests(mapping: Mapping[str, str] | None, prefixes: Iterable[str], *, selectors: bool = False) -> list[tuple[str, str]]:
    """Each requested name with the key of its annotation, in the order of sorted keys, within a key as written.

    ``selectors``: ``vendor.com/class=*`` is let through as it stands. Raises as `parse_annotations`.

    >>> requests({"cdi.k8s.io/a": "acme.com/gpu=0,acme.com/gpu=1"}, ["cdi.k8s.io/"])
    [('acme.com/gpu=0', 'cdi.k8s.io/a'), ('acme.com/gpu=1', 'cdi.k8s.io/a')]
    """
    if mapping is None:
        return []
    starts = tuple(prefixes)
    try:
        keys = sorted(key for key in mapping.keys() if key.startswith(starts))  # noqa: SIM118 - a list has no keys()
    except AttributeError:
        raise BundleError("is not a map of text to text", field="annotations") from None
    found = []
    for key in keys:
        value = mapping[key]
        if not isinstance(value, str):
            raise BundleError("is not text", field=_field(key), fix="write vendor.com/class=device, several with commas between them")
        for name in value.split(","):
            if not (selectors and split_selector(name)):
                _check(name, key)
            found.append((name, key))
    return found


def annotation_key(plugin: str, id: str) -> str:
    """The key for a request of a device plugin: ``plugin`` is by convention ``vendor.class``, ``id`` what tells its requests apart.

    Raises `NameSyntaxError` when a part is empty, the whole too long, or a character not allowed; slashes in ``id`` become ``_``.

    >>> annotation_key("acme.gpu", "container/0")
    'cdi.k8s.io/acme.gpu_container_0'
    """
    for what, part in (("plugin", plugin), ("device ID", id)):
        if not isinstance(part, str):
            raise NameSyntaxError(f"{what} is text, not {type(part).__name__}")
        if not part:
            raise NameSyntaxError(f"{what} is empty", fix="give it a name")
    name = f"{plugin}_{id.replace('/', '_')}"
    check_annotation_name(name)
    if len(name) > _MAX_NAME:
        raise NameSyntaxError(f"annotation name {quoted(name)} has {len(name)} characters", fix=f"{_MAX_NAME} are the most")
    return PREFIX + name


def annotation_value(devices: Iterable[str]) -> str:
    """The value that requests ``devices``, qualified names, in their order. Raises `NameSyntaxError`.

    No devices make an empty value, as in the reference, and reading an empty value is an error: leave such an annotation out.

    >>> annotation_value(["acme.com/gpu=0", "acme.com/gpu=1"])
    'acme.com/gpu=0,acme.com/gpu=1'
    """
    names = list(devices)
    for name in names:
        parse_qualified_name(name)
    return ",".join(names)


def update_annotations(annotations: Mapping[str, str] | None, plugin: str, id: str, devices: Iterable[str]) -> dict[str, str]:
    """A new map: ``annotations`` and the request of ``plugin`` for ``devices``; the map given stays as it is.

    Raises `NameSyntaxError` as `annotation_key` and `annotation_value` do, and when the key is in the map already.

    >>> update_annotations({"a": "b"}, "acme.gpu", "0", ["acme.com/gpu=0"])
    {'a': 'b', 'cdi.k8s.io/acme.gpu_0': 'acme.com/gpu=0'}
    """
    updated = dict(annotations or {})
    key = annotation_key(plugin, id)
    if key in updated:
        raise NameSyntaxError("is in use already", field=_field(key), fix="take another device ID")
    updated[key] = annotation_value(devices)
    return updated


def _check(name: str, key: str) -> None:
    try:
        parse_qualified_name(name)
    except NameSyntaxError as error:
        fix = "set requests.selectors: true to allow it" if split_selector(name) else error.fix
        if name != name.strip():
            fix = "write no blanks around commas"
        raise NameSyntaxError(error.reason, field=_field(key), fix=fix) from None


def _field(key: str) -> str:
    return f"annotations[{quoted(key)}]"
