"""``cdi_hook.cdi.annotations``: the verdicts are those of tests/conformance; here are messages, prefixes, selectors and wrong types."""

from __future__ import annotations

import doctest
from types import MappingProxyType
from typing import Any

import pytest

from cdi_hook.cdi import annotations as cdi_annotations
from cdi_hook.errors import BundleError, NameSyntaxError

_BOTH = ["cdi.k8s.io/", "nvidia.cdi.k8s.io/"]


def test_requests_name_their_key_in_the_order_of_keys() -> None:
    mapping = {"nvidia.cdi.k8s.io/n": "n.com/gpu=0", "cdi.k8s.io/b": "a.com/b=2,a.com/b=1", "cdi.k8s.io/B": "a.com/b=1", "x": ""}
    assert cdi_annotations.requests(mapping, _BOTH) == [
        ("a.com/b=1", "cdi.k8s.io/B"),
        ("a.com/b=2", "cdi.k8s.io/b"),
        ("a.com/b=1", "cdi.k8s.io/b"),
        ("n.com/gpu=0", "nvidia.cdi.k8s.io/n"),
    ]


def test_one_prefix_does_not_match_inside_another() -> None:
    assert cdi_annotations.parse_annotations({"nvidia.cdi.k8s.io/n": "not looked at"}) == ([], [])


def test_no_prefix_no_request() -> None:
    assert cdi_annotations.requests({"cdi.k8s.io/a": "a.com/b=c"}, []) == []


def test_selectors_only_where_allowed() -> None:
    mapping = {"cdi.k8s.io/a": "acme.com/nic=*,acme.com/nic=0"}
    assert cdi_annotations.requests(mapping, _BOTH, selectors=True) == [
        ("acme.com/nic=*", "cdi.k8s.io/a"),
        ("acme.com/nic=0", "cdi.k8s.io/a"),
    ]
    with pytest.raises(NameSyntaxError) as caught:
        cdi_annotations.requests(mapping, _BOTH)
    assert str(caught.value) == (
        'annotations["cdi.k8s.io/a"]: "acme.com/nic=*": device name "*" has "*" in it; set requests.selectors: true to allow it'
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"cdi.k8s.io/a": ""}, 'annotations["cdi.k8s.io/a"]: "" is not a whole device name; write vendor.com/class=device'),
        (
            {"cdi.k8s.io/a": "a.com/b=c, a.com/b=d"},
            'annotations["cdi.k8s.io/a"]: " a.com/b=d": vendor name " a.com" has a blank in it; write no blanks around commas',
        ),
        (
            {"cdi.k8s.io/a\x1b[31m": "gpu"},
            'annotations["cdi.k8s.io/a\\x1b[31m"]: "gpu" is not a whole device name; write vendor.com/class=device',
        ),
    ],
)
def test_message_names_the_key(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(NameSyntaxError) as caught:
        cdi_annotations.parse_annotations(mapping)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [None, 1, True, ["a.com/b=c"], {"a.com/b": "c"}])
def test_value_that_is_no_text(value: object) -> None:
    mapping: dict[str, Any] = {"cdi.k8s.io/a": value, "other": value}
    with pytest.raises(BundleError) as caught:
        cdi_annotations.parse_annotations(mapping)
    assert str(caught.value) == (
        'annotations["cdi.k8s.io/a"]: is not text; write vendor.com/class=device, several with commas between them'
    )
    assert cdi_annotations.parse_annotations({"other": mapping["other"]}) == ([], [])


@pytest.mark.parametrize("mapping", [[], ["cdi.k8s.io/a"], "cdi.k8s.io/a", 0, False, {1: "a.com/b=c"}])
def test_what_is_no_map(mapping: Any) -> None:
    with pytest.raises(BundleError, match=r"^annotations: is not a map of text to text$"):
        cdi_annotations.parse_annotations(mapping)


def test_no_map_and_any_map() -> None:
    assert cdi_annotations.parse_annotations(None) == ([], [])
    assert cdi_annotations.parse_annotations({}) == ([], [])
    assert cdi_annotations.parse_annotations(MappingProxyType({"cdi.k8s.io/a": "a.com/b=c"})) == (["cdi.k8s.io/a"], ["a.com/b=c"])


@pytest.mark.parametrize(
    ("plugin", "id_", "message"),
    [
        ("", "0", "plugin is empty; give it a name"),
        ("acme.gpu", "", "device ID is empty; give it a name"),
        ("acme/gpu", "0", 'annotation name "acme/gpu_0" has "/" in it; use letters, digits, "_", "-" and "."'),
        ("acme.gpu", "0-", 'annotation name "acme.gpu_0-" ends with "-"; end it with a letter or digit'),
        ("p" * 32, "d" * 31, f'annotation name "{"p" * 32}_{"d" * 31}" has 64 characters; 63 are the most'),
        (None, "0", "plugin is text, not NoneType"),
        ("acme.gpu", 0, "device ID is text, not int"),
    ],
)
def test_key_refused(plugin: Any, id_: Any, message: str) -> None:
    with pytest.raises(NameSyntaxError) as caught:
        cdi_annotations.annotation_key(plugin, id_)
    assert str(caught.value) == message


def test_update_refuses_a_key_in_use() -> None:
    before = {"cdi.k8s.io/acme.gpu_0": "acme.com/gpu=0"}
    with pytest.raises(NameSyntaxError) as caught:
        cdi_annotations.update_annotations(before, "acme.gpu", "0", ["acme.com/gpu=1"])
    assert str(caught.value) == 'annotations["cdi.k8s.io/acme.gpu_0"]: is in use already; take another device ID'
    assert before == {"cdi.k8s.io/acme.gpu_0": "acme.com/gpu=0"}


def test_what_is_written_can_be_read() -> None:
    devices = ["acme.com/gpu=0:1", "acme.com/nic=eth.0"]
    written = cdi_annotations.update_annotations(None, "acme.gpu", "pod/0", devices)
    assert cdi_annotations.parse_annotations(written) == (["cdi.k8s.io/acme.gpu_pod_0"], devices)


def test_examples() -> None:
    result = doctest.testmod(cdi_annotations)
    assert result.attempted >= 5
    assert not result.failed
