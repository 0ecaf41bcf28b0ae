"""One message to the system's log, for the entry points whose output nobody reads. Row 3, cold.

podman drops the standard error of a precreate filter, crun that of a hook (``docs/entry-points.md``).
"""

from __future__ import annotations

import syslog

NAME = "cdi-hook"


def send(message: str) -> None:
    """Write an error to ``/dev/log``. That nobody listens there is no error."""
    syslog.openlog(NAME, syslog.LOG_PID, syslog.LOG_DAEMON)
    # A NUL or a lone surrogate has no form there.
    syslog.syslog(syslog.LOG_ERR, message.replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
