"""Who besides root can change what is at a path of the host. Row 4, cold.

A program or file of the host that a spec names runs as root or is shown to containers as the host's own: whoever may replace it, or a
link or directory on the way to it, decides what that is. Judged are owners and permission bits (inode(7)) of every part of the path, links
followed one by one (path_resolution(7)); a sticky directory protects what root has put into it.
"""

from __future__ import annotations

import os
import stat

_LINKS = 40
"""As many links as the kernel follows."""

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_OVERFLOW = "/proc/sys/kernel/overflowuid"


def changeable(path: str, *, uid: int | None = None) -> str:
    """Why a user other than root can change what is at this absolute path; empty when none can, or nothing is there.

    ``uid``: a user who is trusted like root (default: the effective one). In a user namespace the host's root shows as the overflow
    user, and is trusted. Never raises OSError.
    """
    trusted = {0, os.geteuid() if uid is None else uid}
    if not _maps_everybody():
        trusted.add(_overflow())
    place, parts, links = "/", path.split("/"), 0
    while parts:
        name = parts.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            place = os.path.dirname(place)
            continue
        here = os.path.join(place, name)
        try:
            found, parent = os.lstat(here), os.lstat(place)
        except (OSError, ValueError):
            return ""
        why = _why(place, parent, found, trusted)
        if why:
            return why
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _LINKS:
                return ""
            target = os.readlink(here)
            parts = [*target.split("/"), *parts]
            place = "/" if target.startswith("/") else place
            continue
        place = here
    try:
        last = os.lstat(place)
    except OSError:
        return ""
    if last.st_uid not in trusted:
        return f"{place} belongs to user {last.st_uid}"
    if last.st_mode & _WRITABLE and not (stat.S_ISDIR(last.st_mode) and last.st_mode & stat.S_ISVTX) and not _is_device(last):
        return f"{place} is writable by {'everybody' if last.st_mode & stat.S_IWOTH else f'group {last.st_gid}'}"
    return ""


def _why(place: str, parent: os.stat_result, found: os.stat_result, trusted: set[int]) -> str:
    """Why somebody can put another thing into a directory in the place of what is there."""
    if parent.st_uid not in trusted:
        return f"{place} belongs to user {parent.st_uid}"
    if not parent.st_mode & _WRITABLE:
        return ""
    if parent.st_mode & stat.S_ISVTX and found.st_uid in trusted:
        return ""
    return f"{place} is writable by {'everybody' if parent.st_mode & stat.S_IWOTH else f'group {parent.st_gid}'}"


def _is_device(found: os.stat_result) -> bool:
    """What is written to a device, FIFO or socket does not change it."""
    return not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))


def _maps_everybody() -> bool:
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() == ["0", "0", "4294967295"]
    except OSError:
        return True


def _overflow() -> int:
    try:
        with open(_OVERFLOW, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65534
