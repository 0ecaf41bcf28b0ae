"""The text of an error: file, line, field, reason, fix, on one line whatever is in them."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

from cdi_hook import errors
from cdi_hook.errors import BundleError, CdiError, FaultsError, KernelError, SpecError, StaleError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(CdiError("is empty"), "is empty", id="reason alone"),
        pytest.param(CdiError("is empty", file="/c"), "/c: is empty", id="file"),
        pytest.param(CdiError("is empty", file="/c", line=3), "/c:3: is empty", id="line"),
        pytest.param(CdiError("is empty", line=3), "is empty", id="a line without a file says nothing"),
        pytest.param(CdiError("is empty", field="kind"), "kind: is empty", id="field"),
        pytest.param(CdiError("is empty", fix="name one"), "is empty; name one", id="fix"),
        pytest.param(
            CdiError("is empty", file="/c", line=3, field="kind", fix="name one"), "/c:3: kind: is empty; name one", id="everything"
        ),
        pytest.param(CdiError("a\nb\tc\x1b[1m"), "a\\nb\\tc\\x1b[1m", id="control characters are escaped"),
        pytest.param(CdiError("is bad", file="/c\r\nx"), "/c\\r\\nx: is bad", id="control characters of a path"),
        pytest.param(CdiError("line\u2028separator \u202e"), "line\\u2028separator \\u202e", id="separators and bidi marks are escaped"),
        pytest.param(CdiError("\udc80"), "\\udc80", id="a byte that is not UTF-8"),
        pytest.param(CdiError("Gerät 日本"), "Gerät 日本", id="printable text stays"),
    ],
)
def test_text(error: CdiError, text: str) -> None:
    assert str(error) == text


def faults(number: int) -> list[CdiError]:
    return [SpecError(f"fault {at}", file="/a.yaml", line=at) for at in range(1, number + 1)]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, ""),
        (1, "/a.yaml:1: fault 1"),
        (2, "/a.yaml:1: fault 1; /a.yaml:2: fault 2"),
        (5, "; ".join(f"/a.yaml:{at}: fault {at}" for at in range(1, 6))),
        (6, "; ".join(f"/a.yaml:{at}: fault {at}" for at in range(1, 6)) + "; and 1 more"),
        (12, "; ".join(f"/a.yaml:{at}: fault {at}" for at in range(1, 6)) + "; and 7 more"),
    ],
)
def test_several_faults_are_five_and_a_count(number: int, text: str) -> None:
    error = FaultsError(iter(faults(number)))
    assert (str(error), len(error.faults)) == (text, number)
    assert errors.join(error.faults) == text


def test_attributes_are_kept() -> None:
    error = StaleError("moved", file="/a.yaml", line=7, field="type", fix="generate it again", device="acme.com/gpu=0")
    assert vars(error) == {
        "reason": "moved",
        "file": "/a.yaml",
        "line": 7,
        "field": "type",
        "fix": "generate it again",
        "device": "acme.com/gpu=0",
    }
    kernel = KernelError("refused", syscall="mount", errno=errno.EPERM, file="/dev/x")
    assert (kernel.syscall, kernel.errno, str(kernel)) == ("mount", errno.EPERM, "/dev/x: refused")


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        *((kind, "CdiError") for kind in ("SpecError", "NameSyntaxError", "UnresolvedError", "ConflictError", "SettingsError")),
        *((kind, "CdiError") for kind in ("BundleError", "RuntimeNotFoundError", "EngineError")),
        *((kind, "CdiError") for kind in ("KernelError", "FaultsError")),
        ("VersionError", "SpecError"),
        ("StaleError", "SpecError"),
    ],
)
def test_family(kind: str, base: str) -> None:
    assert getattr(errors, kind).__bases__ == (getattr(errors, base),)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "the kernel does not allow it"),
        (errno.ENOENT, "does not exist"),
        (errno.ENXIO, "has nobody at its other end"),
        (errno.EACCES, "access is refused"),
        (errno.ENOTDIR, "a part of the path is no directory"),
        (errno.EISDIR, "is a directory"),
        (errno.ETXTBSY, "is being executed"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.ELOOP, "is a loop of symbolic links"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_the_kernels_words(number: int, words: str) -> None:
    assert errors.os_words(OSError(number, os.strerror(number))) == words


def test_no_words_of_the_kernel() -> None:
    assert errors.os_words(OSError()) == "failed"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_words_that_podman_rewrites_never_appear(number: int) -> None:
    words = errors.os_words(OSError(number, os.strerror(number))).lower()
    assert not any(bad in words for bad in ("no such file or directory", "permission denied", "operation not permitted"))


def test_can_be_raised_and_caught_as_one_family() -> None:
    with pytest.raises(CdiError, match=r"^/b/config\.json: is bad$"):
        raise BundleError("is bad", file="/b/config.json")


def test_classes_made_on_demand_are_what_the_type_checker_is_told() -> None:
    told = {}
    for block in ast.parse(Path(errors.__file__).read_text(encoding="utf-8")).body:
        for node in block.body if isinstance(block, ast.If) else ():
            if isinstance(node, ast.ClassDef):
                attributes = [ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)]
                told[node.name] = (*(ast.unparse(base) for base in node.bases), tuple(attributes))
    assert {name: row[:2] for name, row in errors._ON_DEMAND.items()} == told


@pytest.mark.parametrize("name", sorted(errors._ON_DEMAND))
def test_a_class_made_on_demand_is_a_class_like_the_others(name: str) -> None:
    kind = getattr(errors, name)
    assert getattr(errors, name) is kind
    assert (kind.__module__, kind.__qualname__, bool(kind.__doc__)) == ("cdi_hook.errors", name, True)
    data = dict.fromkeys(errors._ON_DEMAND[name][1], 7)
    error = kind("reason", fix="mend it", **data)
    assert (str(error), {key: vars(error)[key] for key in data}) == ("reason; mend it", data)


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NoSuchError'"):
        errors.NoSuchError  # type: ignore[attr-defined] # noqa: B018
