"""Replace a file by another text at once, keeping its mode and owner. Layer 1, cold.

For files that people and programs read at any time: specs, settings of engines, output files. A ``config.json`` is replaced by
``delivery``, which may not import this much.
"""

from __future__ import annotations

import os
import stat
import tempfile


def replace(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Give the file this content: it is old or new, never half, and new only once it is on the disk.

    ``mode``: permission bits of a file that is new; an old one keeps its own. A symbolic link is itself replaced. Raises OSError, or
    ValueError for a path that cannot be one.
    """
    # Not hidden, and with an ending that no reader of directories looks for.
    fd, temporary = tempfile.mkstemp(prefix="cdi-hook.", suffix=".tmp", dir=os.path.dirname(path) or ".")
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            _keep_mode_and_owner(fd, path, mode)
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _keep_mode_and_owner(fd: int, path: str, mode: int) -> None:
    try:
        old = os.lstat(path)
    except FileNotFoundError:
        old = None
    if old is not None and stat.S_ISREG(old.st_mode):
        mode = stat.S_IMODE(old.st_mode)
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            pass  # Who may not give files away becomes the owner.
    # After the owner, which the kernel takes the set-user-ID bit away with (chown(2)).
    os.fchmod(fd, mode)
