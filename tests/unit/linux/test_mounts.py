"""Mount options, understood."""

from __future__ import annotations

import pytest

from cdi_hook.errors import CdiError
from cdi_hook.linux import mounts
from cdi_hook.linux.mounts import Wanted

RO, NOSUID, NODEV, NOEXEC, ATIME = 1, 2, 4, 8, 0x70

ROWS = {
    "nothing": (("bind", []), [0, 0], [0, 0]),
    "the usual": (("", ["rbind", "ro", "nosuid", "nodev", "noexec"]), [RO | NOSUID | NODEV | NOEXEC, 0], [0, 0]),
    "the later one wins": (("bind", ["ro", "rw", "nodev", "dev", "noexec", "exec", "noexec"]), [NOEXEC, RO | NODEV], [0, 0]),
    "times": (("bind", ["noatime", "strictatime"]), [0x20, ATIME], [0, 0]),
    "relative times": (("bind", ["noatime", "relatime"]), [0, ATIME], [0, 0]),
    "no times": (("bind", ["relatime", "noatime", "nodiratime"]), [0x10 | 0x80, ATIME], [0, 0]),
    "those below too": (("bind", ["rro", "nosuid", "rnoexec"]), [RO | NOSUID | NOEXEC, 0], [RO | NOEXEC, 0]),
    "no symbolic links": (("bind", ["nosymfollow"]), [0x200000, 0], [0, 0]),
    "words that say nothing": (("bind", ["defaults", "async", "rbind"]), [0, 0], [0, 0]),
}


@pytest.mark.parametrize(("given", "own", "below"), ROWS.values(), ids=ROWS)
def test_attributes(given: tuple[str, list[str]], own: list[int], below: list[int]) -> None:
    wanted = Wanted(*given)
    assert (wanted.own, wanted.below, wanted.bind, wanted.recursive) == (own, below, True, "rbind" in given[1])


PROPAGATION = {
    "": (mounts.MS_PRIVATE,),
    "private": (mounts.MS_PRIVATE,),
    "rslave": (mounts.MS_SLAVE,),
    "slave": (mounts.MS_SLAVE,),
    "shared": (mounts.MS_SLAVE, mounts.MS_SHARED),
    "rshared": (mounts.MS_SLAVE, mounts.MS_SHARED),
    "unbindable": (mounts.MS_PRIVATE, mounts.MS_UNBINDABLE),
    "runbindable": (mounts.MS_PRIVATE, mounts.MS_UNBINDABLE),
}


@pytest.mark.parametrize(("option", "steps"), PROPAGATION.items(), ids=PROPAGATION)
def test_propagation_never_reaches_the_host(option: str, steps: tuple[int, ...]) -> None:
    """The first step always cuts the copy off from its peers on the host."""
    assert Wanted("bind", [option] if option else []).propagation == steps
    assert steps[0] in (mounts.MS_PRIVATE, mounts.MS_SLAVE)


def test_new_file_system_keeps_what_is_its_own() -> None:
    wanted = Wanted("tmpfs", ["nosuid", "size=64k", "mode=1777", "huge"])
    assert (wanted.bind, wanted.own, wanted.data) == (False, [NOSUID, 0], ["size=64k", "mode=1777", "huge"])


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_mapped_ids(option: str) -> None:
    assert Wanted("bind", [option]).idmap == option


REFUSED = {
    "an option that nobody knows": (("bind", ["shiny"]), "the mount option shiny is unknown"),
    "its recursive form": (("bind", ["rshiny"]), "the mount option rshiny is unknown"),
    "no type": (("", ["ro"]), "a mount without type that is no bind mount cannot be made in a container that exists already"),
    **{
        type_: ((type_, []), f"a mount of type {type_} cannot be made in a container that exists already")
        for type_ in mounts.OF_THEIR_MAKER
    },
}


@pytest.mark.parametrize(("given", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(given: tuple[str, list[str]], reason: str) -> None:
    with pytest.raises(CdiError, match=f"^{reason}$"):
        Wanted(*given)
