"""Finds the subcommand and the bundle in an OCI runtime's command line. Row 2, hot: imports ``posix`` alone.

The real runtime parses its own arguments; we only have to understand them as it will. ``FAMILIES`` says for each runtime family
which options exist and which of them take a value, over all its versions (runc 1.0 to its main branch, crun 0.21 to 1.29, youki
0.0.4 to 0.7), hidden ones included; ``_SYNTAX`` functions say how that family spells an option. What cannot be told apart gives
several *readings*, and the entry point decides whether they differ in anything that matters. The sh launcher's table is generated from
these rows, so it knows a part of what stands here and nothing else.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reading = tuple[str, str, str, str, str]
    """``(subcommand, bundle, config, log, log_format)``, each empty if not given; ``config`` is crun's ``--config``."""
    Meaning = tuple[int, "str | None"]
    """What one word means: a slot (below), and the value if it is part of the word (None: the next word is the value)."""
    State = tuple[int, str, tuple[str, str, str, str]]
    """Index of the next word, the subcommand so far, the values so far (in the order of a reading)."""

CREATES = ("create", "run", "restore")
"""The subcommands that read ``config.json`` and start a container from it."""

_ARGP = "help ? usage version V HANG"
"""Flags that glibc's argp adds to every crun command; ``--HANG`` is hidden."""

FAMILIES: dict[str, dict[str, tuple[str, str]]] = {
    # family: where ("" is global): (options that take a value, flags); letters are short names, the rest long ones
    "runc": {
        "": ("log log-format root rootless criu", "debug systemd-cgroup help h version v"),
        "create": ("bundle b console-socket pidfd-socket pid-file preserve-fds", "no-pivot no-new-keyring help h"),
        "run": (
            "bundle b console-socket pidfd-socket pid-file preserve-fds",
            "no-pivot no-new-keyring detach d keep no-subreaper help h",
        ),
        "restore": (
            "bundle b console-socket pid-file image-path work-path manage-cgroups-mode empty-ns lsm-profile lsm-mount-context",
            "detach d no-subreaper no-pivot tcp-established ext-unix-sk shell-job file-locks auto-dedup lazy-pages help h",
        ),
    },
    "crun": {
        "": ("log log-format log-level root rootless cgroup-manager program-name", "debug systemd-cgroup v " + _ARGP),
        "create": (
            "bundle b config f console-socket pid-file preserve-fds program-name",
            "no-pivot no-new-keyring no-subreaper " + _ARGP,
        ),
        "run": (
            "bundle b config f console-socket pid-file preserve-fds program-name",
            "no-pivot no-new-keyring no-subreaper detach d keep " + _ARGP,
        ),
        "restore": (
            # --network-lock is declared as a flag and takes the next word all the same.
            "bundle b console-socket pid-file image-path work-path manage-cgroups-mode network-lock lsm-profile lsm-mount-context"
            " program-name",
            "detach d tcp-established tcp-close ext-unix-sk shell-job file-locks " + _ARGP,
        ),
    },
    "youki": {
        "": ("log l log-format log-level root r", "debug systemd-cgroup s systemd-log help h version v"),
        "create": ("bundle b console-socket c pid-file p preserve-fds", "no-pivot no-new-keyring help h"),
        "run": (
            "bundle b console-socket c pid-file p preserve-fds",
            "no-pivot no-new-keyring no-subreaper keep detach d help h",
        ),
        "restore": (
            "bundle b console-socket pid-file image-path work-path manage-cgroups-mode",
            "detach d tcp-established ext-unix-sk shell-job file-locks help h",
        ),
    },
}

_BUNDLE, _CONFIG, _LOG, _LOG_FORMAT, _OTHER, _FLAG, _ENDS = range(7)
_SLOTS = {"bundle": _BUNDLE, "b": _BUNDLE, "config": _CONFIG, "f": _CONFIG, "log": _LOG, "l": _LOG, "log-format": _LOG_FORMAT}
HELP = ("help", "h", "?", "usage", "version", "v", "V")
"""Flags after which a runtime prints something and creates nothing."""
_LINKS = 16


def family(runtime: str) -> str:
    """The family of the program at ``runtime``: by its own name, else by what it links to; "" if neither is known.

    >>> family("/usr/bin/krun")
    'crun'
    """
    for _ in range(_LINKS):
        name = runtime.rpartition("/")[2]
        if name in FAMILIES:
            return name
        if name == "krun":  # crun with another handler, chosen by argv[0]
            return "crun"
        try:
            target = posix.readlink(runtime)
        except (OSError, ValueError):
            break
        runtime = target if target.startswith("/") else runtime[: len(runtime) - len(name)] + target
    return ""


def readings(argv: list[str], family: str) -> list[Reading]:
    """Every plausible reading of ``argv`` (without argv[0]); one, unless an option is unknown or an abbreviation unclear.

    >>> readings(["--log", "run", "create", "--bundle=/b", "run"], "runc")
    [('create', '/b', '', 'run', '')]
    """
    return _walk(argv, family)[0]


def unknown_option(argv: list[str], family: str) -> str:
    """The first option of ``argv`` that can be read in more than one way; "" if there is none.

    >>> unknown_option(["--shiny", "create", "c1"], "runc")
    '--shiny'
    """
    return _walk(argv, family)[1]


def _walk(argv: list[str], family: str) -> tuple[list[Reading], str]:
    """All readings, depth first, and the first word that was in doubt. Equal states are walked once, so this stays small."""
    syntax = _SYNTAX.get(family, _any)
    rows: dict[str, tuple[list[str], list[str]]] = {}
    found: list[Reading] = []
    doubt = len(argv)
    todo: list[State] = [(0, "", ("", "", "", ""))]
    seen = set()
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        at, subcommand, values = state
        if at >= len(argv) or (subcommand and subcommand not in CREATES):
            _add(found, (subcommand, *values))
            continue
        word = argv[at]
        if word[:1] != "-" or word in ("-", "--") or (family == "runc" and not word[1].isalpha() and word[1] != "-"):
            states = _operand(state, argv, family)
        else:
            if subcommand not in rows:
                rows[subcommand] = _row(subcommand, family)
            states = [_option(state, argv, meaning) for meaning in syntax(word, *rows[subcommand])]
        if len(states) > 1:
            doubt = min(doubt, at)
        todo += reversed(states)
    return found, argv[doubt] if doubt < len(argv) else ""


def _add(found: list[Reading], reading: Reading) -> None:
    """Keep a reading once; for a subcommand that creates nothing, the log is all that is left of it."""
    if reading[0] not in CREATES:
        reading = (reading[0], "", "", reading[3], reading[4])
    if reading not in found:
        found.append(reading)


def _operand(state: State, argv: list[str], family: str) -> list[State]:
    """The states after a word that is no option: the subcommand, an argument of it, or the ``--`` that ends the options."""
    at, subcommand, values = state
    word = argv[at]
    stop, go_on = (len(argv), subcommand, values), (at + 1, subcommand, values)
    if subcommand:
        if word == "--" or family == "crun":  # crun reads in order: the container's id ends the options
            return [stop]
        if family == "runc" and word[:1] == "-":
            # The main branch ends the options at "-" and at "-1"; releases go on after the one and refuse the other.
            return [go_on, stop] if word == "-" else [stop]
        return [go_on]
    if word == "--":
        at += 1
        word = argv[at] if at < len(argv) else ""
    return [(at + 1, word, values)] if word else [stop]


def _option(state: State, argv: list[str], meaning: Meaning) -> State:
    """The state after one option; of a repeated one the last value wins."""
    at, subcommand, values = state
    slot, value = meaning
    if slot == _ENDS:
        return len(argv), "", values
    if slot != _FLAG and value is None:
        at += 1
        value = argv[at] if at < len(argv) else None  # if it is missing, the runtime will say so
    if slot < _OTHER and value is not None:
        values = (*values[:slot], value, *values[slot + 1 :])  # type: ignore[assignment]  # four again
    return at + 1, subcommand, values


def _row(where: str, family: str) -> tuple[list[str], list[str]]:
    """The options of a subcommand (or the global ones) that take a value, and the flags; of all families if it is unknown."""
    takes: list[str] = []
    flags: list[str] = []
    for name in (family,) if family in FAMILIES else FAMILIES:
        # runc's main branch takes global options after the subcommand as well.
        for place in ("", where) if where and name == "runc" else (where,):
            takes += FAMILIES[name][place][0].split()
            flags += FAMILIES[name][place][1].split()
    return takes, flags


_UNKNOWN: list[Meaning] = [(_FLAG, None), (_OTHER, None)]


def _exact(name: str, value: str | None, takes: list[str], flags: list[str]) -> list[Meaning]:
    """The meaning of an option that is spelt in full; none if there is no such option."""
    if name in takes:
        return [(_SLOTS.get(name, _OTHER), value)]
    if name in flags:
        return [(_ENDS if name in HELP and value is None else _FLAG, None)]
    return []


def _unknown(value: str | None) -> list[Meaning]:
    """Both readings of an option nobody knows; with its value in the same word they are one."""
    return _UNKNOWN if value is None else [(_FLAG, None)]


def _split(word: str) -> tuple[str, str | None]:
    """Name and inline value of ``--name``, ``--name=value``, ``-name`` or ``-name=value``."""
    name, equals, value = word[2 if word[1] == "-" else 1 :].partition("=")
    return name, value if equals else None


def _runc(word: str, takes: list[str], flags: list[str]) -> list[Meaning]:
    """Go's flag package: one dash or two before any name, no groups, no abbreviations."""
    name, value = _split(word)
    return _exact(name, value, takes, flags) or _unknown(value)


def _crun(word: str, takes: list[str], flags: list[str]) -> list[Meaning]:
    """glibc's argp: unambiguous abbreviations of long names, groups of letters, ``-bDIR`` (and ``-b=DIR`` means ``=DIR``)."""
    if word[1] != "-":
        return _letters(word, takes, flags, "") or _UNKNOWN
    name, value = _split(word)
    if len(name) > 1:
        exact = _exact(name, value, takes, flags)
        if exact:
            return exact
    return _abbreviation(name, value, takes, flags) or _unknown(value)


def _youki(word: str, takes: list[str], flags: list[str]) -> list[Meaning]:
    """Rust's clap: long names in full, groups of letters, ``-bDIR`` and ``-b=DIR``."""
    if word[1] != "-":
        return _letters(word, takes, flags, "=") or _UNKNOWN
    name, value = _split(word)
    return (_exact(name, value, takes, flags) if len(name) > 1 else []) or _unknown(value)


def _any(word: str, takes: list[str], flags: list[str]) -> list[Meaning]:
    """An unknown runtime: whatever some family would understand, and both readings of the rest."""
    name, value = _split(word)
    exact = _exact(name, value, takes, flags)
    if exact == [(_ENDS, None)] and len(name) == 1:
        return [(_FLAG, None)]  # -v may be "verbose" elsewhere
    if exact:
        return exact
    if word[1] != "-":
        return _letters(word, takes, flags, "=") or _unknown(value)
    short = [meaning for meaning in _abbreviation(name, value, takes, flags) if meaning[0] in (_BUNDLE, _CONFIG)]
    return short + _unknown(value)


def _abbreviation(name: str, value: str | None, takes: list[str], flags: list[str]) -> list[Meaning]:
    """The meanings of the beginning of a long name: one if all candidates agree in what matters to us, none if there are none."""
    candidates = [row for row in dict.fromkeys(takes + flags) if len(row) > 1 and row.startswith(name)]
    found = [_exact(row, value, takes, flags)[0] for row in candidates]
    if len(found) > 1:  # which log it would be is not worth a doubt
        found = [(slot if slot in (_BUNDLE, _CONFIG, _FLAG, _ENDS) else _OTHER, inline) for slot, inline in found]
    return list(dict.fromkeys(found))


def _letters(word: str, takes: list[str], flags: list[str], equals: str) -> list[Meaning]:
    """The meaning of ``-dbDIR``: the first letter that takes a value gets the rest of the word, or the next word.

    ``equals``: what may stand between the letter and its value. None if a letter is unknown.
    """
    for at in range(1, len(word)):
        letter, rest = word[at], word[at + 1 :]
        if letter in takes:
            if equals and rest.startswith(equals):
                return [(_SLOTS.get(letter, _OTHER), rest[len(equals) :])]
            return [(_SLOTS.get(letter, _OTHER), rest or None)]
        if letter not in flags:
            return []
        if letter in HELP:
            return [(_ENDS, None)]
    return [(_FLAG, None)]


_SYNTAX: dict[str, Callable[[str, list[str], list[str]], list[Meaning]]] = {"runc": _runc, "crun": _crun, "youki": _youki}
