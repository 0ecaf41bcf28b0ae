"""``cdi_hook.oci.config``: what is refused, by field, and what is none of its business."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from cdi_hook.errors import BundleError
from cdi_hook.oci import config as oci_config
from cdi_hook.oci.jsonio import loads

_MEND = "the engine that wrote this config must mend it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is a list, not an object; pass the content of config.json"),
        ('"x"', "is text, not an object; pass the content of config.json"),
        ("1.5", "is a number, not an object; pass the content of config.json"),
        ('{"hostname": 5}', f"hostname: is a number, not text; {_MEND}"),
        ('{"hostname": 1.5}', f"hostname: is a number, not text; {_MEND}"),
        ('{"process": []}', f"process: is a list, not an object; {_MEND}"),
        ('{"process": {"env": ["A", 1]}}', f"process.env[1]: is a number, not text; {_MEND}"),
        ('{"process": {"terminal": 0}}', f"process.terminal: is a number, not true or false; {_MEND}"),
        ('{"process": {"user": {"uid": true}}}', f"process.user.uid: is true or false, not a whole number; {_MEND}"),
        ('{"process": {"user": {"uid": 1.0}}}', f"process.user.uid: is a number, not a whole number; {_MEND}"),
        ('{"process": {"user": {"uid": -1}}}', "process.user.uid: is -1, which is out of range; 0 to 4294967295 is possible"),
        (
            '{"process": {"user": {"additionalGids": [0, 4294967296]}}}',
            "process.user.additionalGids[1]: is 4294967296, which is out of range; 0 to 4294967295 is possible",
        ),
        ('{"mounts": {}}', f"mounts: is an object, not a list; {_MEND}"),
        ('{"mounts": [{}, {"options": ["ro", {}]}]}', f"mounts[1].options[1]: is an object, not text; {_MEND}"),
        ('{"hooks": {"poststop": [[]]}}', f"hooks.poststop[0]: is a list, not an object; {_MEND}"),
        ('{"annotations": {"a": "x", "b": 5}}', f"annotations.b: is a number, not text; {_MEND}"),
        ('{"linux": {"netDevices": {"eth0": "eth1"}}}', f"linux.netDevices.eth0: is text, not an object; {_MEND}"),
        ('{"linux": {"namespaces": [{"type": 1}]}}', f"linux.namespaces[0].type: is a number, not text; {_MEND}"),
        (
            '{"linux": {"devices": [{"major": 9223372036854775808}]}}',
            f"linux.devices[0].major: is {1 << 63}, which is out of range; {-1 << 63} to {(1 << 63) - 1} is possible",
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        oci_config.check(loads(text))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"process": None, "mounts": None, "linux": {"devices": [None], "netDevices": {"e": None}}, "annotations": {"a": None}},
        {"new": 1, "process": {"new": []}, "linux": {"seccomp": 5, "new": {}}, "hooks": {"new": 1}, "mounts": [{"new": 0}]},
        {"process": {"user": {"uid": 4294967295}}, "linux": {"devices": [{"major": -1}]}},
    ],
)
def test_passed(config: Any) -> None:
    oci_config.check(config)


def test_examples() -> None:
    result = doctest.testmod(oci_config)
    assert result.attempted == 2
    assert not result.failed
