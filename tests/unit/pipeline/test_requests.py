"""Requests that travel in the environment or as mounts."""

from __future__ import annotations

from typing import Any

import pytest

from cdi_hook.errors import NameSyntaxError
from cdi_hook.pipeline import requests

FIX = "write vendor.com/class=device"


def env(*entries: Any) -> dict[str, Any]:
    return {"process": {"env": list(entries)}}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        pytest.param(env("CDI=a.com/x=0"), ["a.com/x=0"], id="one"),
        pytest.param(env("CDI=a.com/x=0,b.com/y=1,a.com/x=0"), ["a.com/x=0", "b.com/y=1", "a.com/x=0"], id="several, as written"),
        pytest.param(env("CDI= a.com/x=0 , b.com/y=1 "), ["a.com/x=0", "b.com/y=1"], id="blanks around"),
        pytest.param(env("CDI=a.com/x=0", "CDI=a.com/x=1"), ["a.com/x=1"], id="the last entry is the one that counts"),
        pytest.param(env("CDI="), [], id="empty"),
        pytest.param(env("CDI=,,"), [], id="commas alone"),
        pytest.param(env("CDI=none"), [], id="none"),
        pytest.param(env("CDI=void"), [], id="void"),
        pytest.param(env("CDI"), [], id="no value"),
        pytest.param(env("OTHER=a.com/x=0", 5, None), [], id="not this variable"),
        pytest.param({}, [], id="no process"),
        pytest.param({"process": None}, [], id="null"),
        pytest.param({"process": {"env": "CDI=a.com/x=0"}}, [], id="no list"),
        pytest.param({"process": []}, [], id="no object"),
    ],
)
def test_environment(config: dict[str, Any], found: list[str]) -> None:
    assert requests.from_environment(config, ["CDI"]) == [(name, "environment variable CDI") for name in found]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("all", ["nvidia.com/gpu=all"]),
        ("0", ["nvidia.com/gpu=0"]),
        ("0,1", ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]),
        ("0:1", ["nvidia.com/gpu=0:1"]),
        ("GPU-2a3b", ["nvidia.com/gpu=GPU-2a3b"]),
        ("nvidia.com/gpu=0,acme.com/x=1", ["nvidia.com/gpu=0", "acme.com/x=1"]),
        ("none", []),
        ("void", []),
        ("", []),
    ],
)
def test_the_variable_of_the_nvidia_runtime(value: str, found: list[str]) -> None:
    config = env(f"NVIDIA_VISIBLE_DEVICES={value}")
    assert [name for name, _ in requests.from_environment(config, ["NVIDIA_VISIBLE_DEVICES"])] == found


def test_several_variables_in_the_order_of_the_settings() -> None:
    config = env("B=b.com/x=0", "A=a.com/x=0")
    assert requests.from_environment(config, ["A", "B"]) == [
        ("a.com/x=0", "environment variable A"),
        ("b.com/x=0", "environment variable B"),
    ]


@pytest.mark.parametrize("value", ["secret", "a.com/x=0,secret", "0", "all", "a.com/x=*", "a.com/x", "a.com/x=0;b.com/x=0"])
def test_a_value_that_is_no_name_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(NameSyntaxError) as caught:
        requests.from_environment(env(f"CDI={value}"), ["CDI"])
    assert str(caught.value) == f"process.env[CDI]: does not hold CDI device names; {FIX}"


def test_selectors_only_when_allowed() -> None:
    assert requests.from_environment(env("CDI=a.com/x=*"), ["CDI"], selectors=True) == [("a.com/x=*", "environment variable CDI")]
    mount = asking("a.com/x/*")
    assert requests.from_mounts({"mounts": [mount]}, selectors=True) == [("a.com/x=*", f"mount {mount['destination']}")]
    with pytest.raises(NameSyntaxError, match="does not hold CDI device names"):
        requests.from_mounts({"mounts": [mount]})


def asking(path: str, **more: Any) -> dict[str, Any]:
    return {"destination": f"/var/run/cdi-hook/devices/{path}", "type": "bind", "source": "/dev/null", "options": ["rbind", "ro"], **more}


@pytest.mark.parametrize(
    ("mount", "asks"),
    [
        pytest.param(asking("a.com/x/0"), True, id="bind by type and option"),
        pytest.param(asking("a.com/x/0", options=None), True, id="bind by type"),
        pytest.param(asking("a.com/x/0", type="none"), True, id="rbind by option"),
        pytest.param(asking("a.com/x/0", type=None, options=["bind"]), True, id="bind by option"),
        pytest.param(asking("a.com/x/0", source="/dev/zero"), False, id="another source"),
        pytest.param(asking("a.com/x/0", source="/var/lib/docker/volumes/v/_data"), False, id="a volume of the image"),
        pytest.param(asking("a.com/x/0", type="tmpfs", options=["ro"]), False, id="not bound"),
        pytest.param(asking("a.com/x/0", destination="/var/run/cdi-hook/other/a.com/x/0"), False, id="elsewhere"),
        pytest.param(asking("a.com/x/0", destination=None), False, id="no destination"),
        pytest.param(None, False, id="no object"),
    ],
)
def test_mounts(mount: Any, asks: bool) -> None:
    other = {"destination": "/proc", "type": "proc", "source": "proc"}
    config = {"mounts": [other, mount]}
    name = "/var/run/cdi-hook/devices/a.com/x/0"
    assert requests.from_mounts(config) == ([("a.com/x=0", f"mount {name}")] if asks else [])
    assert requests.remove_mounts(config) is asks
    assert config == {"mounts": [other] if asks else [other, mount]}


@pytest.mark.parametrize("path", ["", "a.com", "a.com/x", "a.com/x/", "a.com/x/0/1", "a.com/x/..", "../x/0", "a.com//0"])
def test_a_mount_that_names_no_device_is_refused(path: str) -> None:
    mount = asking(path)
    with pytest.raises(NameSyntaxError) as caught:
        requests.from_mounts({"mounts": [mount]})
    assert str(caught.value) == f"mounts[{mount['destination']}]: does not hold CDI device names; {FIX}"


@pytest.mark.parametrize("config", [{}, {"mounts": None}, {"mounts": {}}, {"mounts": []}])
def test_no_mounts(config: dict[str, Any]) -> None:
    assert (requests.from_mounts(config), requests.remove_mounts(config)) == ([], False)
