"""The index of resolved devices: the right answer or none, whatever happened to the specs or to the file itself."""

from __future__ import annotations

import os
import posix
import random
import shutil
import stat
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import memory
from cdi_hook.cdi import index, indexwriter

LATER = 10_000_000_000
"""Nanoseconds by which a scan is dated ahead, so that files made just now count as old."""

Devices = list[tuple[str, list[Any]]]


class World:
    """Two spec directories, a home for the index, and what the specs are said to define."""

    def __init__(self, root: Path) -> None:
        self.home = str(root / "home")
        self.dirs = [str(root / "etc"), str(root / "run")]
        for directory in self.dirs:
            os.mkdir(directory)
        self.file = Path(self.dirs[0], "a.yaml")
        self.file.write_text("spec a")
        Path(self.dirs[0], "b.json").write_text("spec b")
        Path(self.dirs[0], "notes.txt").write_text("no spec")
        a, b = str(self.file), str(Path(self.dirs[0], "b.json"))
        self.devices: Devices = [
            ("a.com/x=0", [((a, ""), {"env": ["A=1"]}), ((a, "a.com/x=0"), {"env": ["A0=1"]})]),
            ("a.com/x=1", [((a, ""), {"env": ["A=1"]}), ((a, "a.com/x=1"), {"deviceNodes": [{"path": "/dev/ü", "fileMode": 0}]})]),
            ("b.com/y=0", [((b, "b.com/y=0"), {})]),
        ]

    def write(self, devices: Devices | None = None, started: int | None = None) -> bool:
        before = index.signature(self.dirs)
        return indexwriter.write(
            self.dirs,
            before,
            time.time_ns() + LATER if started is None else started,
            self.devices if devices is None else devices,
            self.home,
        )

    def parts(self, *names: str) -> list[Any] | None:
        return index.parts(self.dirs, list(names), self.home)

    @property
    def image(self) -> Path:
        (name,) = os.listdir(self.home)
        return Path(self.home, name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    assert made.write()
    return made


A0 = ["A=1"], ["A0=1"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(
            ["a.com/x=0"], [("a.yaml", "", {"env": ["A=1"]}), ("a.yaml", "a.com/x=0", {"env": ["A0=1"]})], id="the spec's edits first"
        ),
        pytest.param(["b.com/y=0"], [("b.json", "b.com/y=0", {})], id="a spec without edits of its own"),
        pytest.param(
            ["a.com/x=1", "b.com/y=0", "a.com/x=0"],
            [
                ("a.yaml", "", {"env": ["A=1"]}),
                ("a.yaml", "a.com/x=1", {"deviceNodes": [{"path": "/dev/ü", "fileMode": 0}]}),
                ("b.json", "b.com/y=0", {}),
                ("a.yaml", "a.com/x=0", {"env": ["A0=1"]}),
            ],
            id="in the order asked for, the spec's edits once",
        ),
        pytest.param([], [], id="nothing"),
    ],
)
def test_gives_what_was_written(world: World, names: list[str], found: list[tuple[str, str, Any]]) -> None:
    parts = world.parts(*names)
    assert parts is not None
    assert [(os.path.basename(path), device, edits) for (path, device), edits in parts] == found


@pytest.mark.parametrize("names", [["a.com/x=2"], ["a.com/x=0", "a.com/x=2"], [""], ["a.com/x=\udc80"], ["a.com/x=*"]])
def test_a_name_that_is_not_there_is_no_answer(world: World, names: list[str]) -> None:
    assert world.parts(*names) is None


def test_reads_leave_no_descriptor(world: World) -> None:
    before = os.listdir("/proc/self/fd")
    world.parts("a.com/x=0")
    world.parts("none")
    world.image.write_bytes(b"junk")
    world.parts("a.com/x=0")
    assert os.listdir("/proc/self/fd") == before


# --- valid for exactly these files


def rewrite(path: Path) -> None:
    """Other bytes, the same size, inode and mtime: only the ctime tells."""
    old = path.stat()
    time.sleep(0.02)
    path.write_bytes(b"x" * old.st_size)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    new = path.stat()
    assert (old.st_size, old.st_ino, old.st_mtime_ns) == (new.st_size, new.st_ino, new.st_mtime_ns)


def replace(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


CHANGES: dict[str, Any] = {
    "a file changes, its size and mtime do not": lambda world: rewrite(world.file),
    "a file is replaced by its copy": lambda world: replace(world.file),
    "a file grows": lambda world: world.file.write_text("more text than before"),
    "a file goes": lambda world: world.file.unlink(),
    "a file comes": lambda world: Path(world.dirs[1], "c.yaml").touch(),
    "a file of the older ending comes": lambda world: Path(world.dirs[0], "c.yml").touch(),
    "a file is renamed": lambda world: world.file.rename(world.file.with_name("z.yaml")),
    "a file becomes unreadable": lambda world: world.file.chmod(0),
    "a directory goes": lambda world: os.rmdir(world.dirs[1]),
    "a directory of that name comes": lambda world: os.mkdir(Path(world.dirs[1], "d.json")),
    "a dangling link comes": lambda world: Path(world.dirs[1], "c.json").symlink_to("nowhere"),
    "the directories change places": lambda world: world.dirs.reverse(),
    "a directory more": lambda world: world.dirs.append("/nowhere"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_is_not_used_after(world: World, change: str) -> None:
    assert world.parts("a.com/x=0") is not None
    CHANGES[change](world)
    assert world.parts("a.com/x=0") is None
    # Written again, it serves again.
    assert world.write()
    assert world.parts("a.com/x=0") is not None


@pytest.mark.parametrize("change", ["target", "content", "removed", "to a link"])
def test_is_not_used_after_a_link_leads_elsewhere(tmp_path: Path, change: str) -> None:
    world = World(tmp_path)
    far, other = tmp_path / "far.yaml", tmp_path / "other.yaml"
    far.write_text("spec")
    os.link(far, other)  # not even the inode tells them apart
    link = Path(world.dirs[1], "link.yaml")
    link.symlink_to(far)
    assert world.write()
    assert world.parts("a.com/x=0") is not None
    if change == "target":
        link.unlink()
        link.symlink_to(other)
    elif change == "content":
        rewrite(far)
    elif change == "removed":
        far.unlink()
    else:
        far.unlink()
        far.symlink_to(other)
    assert world.parts("a.com/x=0") is None


def test_other_files_do_not_matter(world: World) -> None:
    Path(world.dirs[0], "notes.txt").write_text("changed")
    Path(world.dirs[1], ".hidden").touch()
    assert world.parts("a.com/x=0") is not None


def test_a_directory_that_is_a_file_or_missing_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    signature = index.signature([str(tmp_path / "file"), str(tmp_path / "none")])
    assert signature is not None
    assert signature != index.signature([str(tmp_path / "none"), str(tmp_path / "file")])


def test_a_directory_that_cannot_be_read_is_never_indexed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = posix.open

    def refuse(path: Any, *args: Any) -> int:
        if path == world.dirs[1]:
            raise PermissionError(13, "no")
        return real(path, *args)

    monkeypatch.setattr(posix, "open", refuse)
    assert (index.signature(world.dirs), world.parts("a.com/x=0"), world.write()) == (None, None, False)


# --- files that changed within the clock's grain of the scan


@pytest.mark.parametrize(("age", "trusted"), [(-1_000_000_000, False), (0, False), (49_000_000, False), (51_000_000, True), (10**10, True)])
def test_a_file_that_has_just_changed_is_not_trusted(tmp_path: Path, age: int, trusted: bool) -> None:
    world = World(tmp_path)
    newest = max(Path(world.dirs[0], name).stat().st_ctime_ns for name in ("a.yaml", "b.json"))
    assert world.write(started=newest + age) is trusted
    assert (world.parts("a.com/x=0") is not None) is trusted


@pytest.mark.parametrize(("age", "trusted"), [(1_900_000_000, False), (2_100_000_000, True)])
def test_whole_seconds_are_a_coarse_clock(age: int, trusted: bool) -> None:
    import marshal

    state = marshal.dumps([("/d", [("a.yaml", 1, 1, 1, 5_000_000_000, 5_000_000_000)]), ("/none", None)], 2)
    assert indexwriter._racy(state, 5_000_000_000 + age) is not trusted


def test_specs_that_changed_during_the_scan_are_not_indexed(tmp_path: Path) -> None:
    world = World(tmp_path)
    before = index.signature(world.dirs)
    world.file.write_text("changed")
    assert indexwriter.write(world.dirs, before, time.time_ns() + LATER, world.devices, world.home) is False
    assert not os.path.exists(world.home)


# --- whose it is


def test_nobody_else_reads_or_writes_it(world: World) -> None:
    """A spec may be readable by root alone."""
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (world.home, world.image)]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("what", ["home", "image"])
@pytest.mark.parametrize(
    ("mode", "used"), [(0o700, True), (0o755, True), (0o770, False), (0o777, False), (0o720, False), (0o702, False), (0o1777, False)]
)
def test_is_not_used_if_others_may_write_it(world: World, what: str, mode: int, used: bool) -> None:
    os.chmod(world.home if what == "home" else world.image, mode)
    assert (world.parts("a.com/x=0") is not None) is used


@pytest.mark.parametrize("what", ["home", "image"])
def test_is_not_used_if_it_is_anothers(world: World, what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give files away")
    os.chown(world.home if what == "home" else world.image, 1234, -1)
    assert world.parts("a.com/x=0") is None


def test_a_link_in_its_place_is_not_followed(world: World, tmp_path: Path) -> None:
    shutil.copy(world.image, tmp_path / "copy")
    name = world.image
    name.unlink()
    name.symlink_to(tmp_path / "copy")
    assert world.parts("a.com/x=0") is None


def test_a_fifo_in_its_place_does_not_block(world: World) -> None:
    name = world.image
    name.unlink()
    os.mkfifo(name)
    assert world.parts("a.com/x=0") is None


def test_a_home_that_is_not_ours_is_left_alone(world: World) -> None:
    os.chmod(world.home, 0o777)
    before = world.image.read_bytes()
    world.file.write_text("changed")
    assert world.write() is False
    assert world.image.read_bytes() == before


# --- where it is


@pytest.mark.parametrize(
    ("root", "system", "user", "home"),
    [
        pytest.param(True, True, None, "SYSTEM", id="root"),
        pytest.param(True, True, "/user", "SYSTEM", id="root with a directory of its own"),
        pytest.param(True, False, None, "SYSTEM", id="root, for the first time"),
        pytest.param(True, False, "/user", "/user/cdi-hook", id="root of a user's namespace"),
        pytest.param(False, False, "/user", "/user/cdi-hook", id="a user"),
        pytest.param(False, False, "relative", "SYSTEM", id="a user without one, who cannot write the system's"),
    ],
)
def test_home(root: bool, system: bool, user: str | None, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "run"
    if system:
        place.mkdir(mode=0o700)
    monkeypatch.setattr(memory, "SYSTEM_HOME", str(place))
    if not root:
        monkeypatch.setattr(posix, "geteuid", lambda: 1000)
    monkeypatch.setattr(posix, "environ", {} if user is None else {b"XDG_RUNTIME_DIR": user.encode()})
    if root and os.geteuid() != 0:
        pytest.skip("needs root")
    assert memory.home_directory() == home.replace("SYSTEM", str(place))


# --- damage


def test_any_damage_is_no_answer_or_the_right_one(world: World) -> None:
    """Each byte in turn is inverted or cleared; never another device's edits, never an exception."""
    right = {name: world.parts(name) for name, _ in world.devices}
    whole = world.image.read_bytes()
    lost = 0
    for at in range(len(whole)):
        byte = whole[at] ^ 0xFF if at % 2 else (0 if whole[at] else 1)
        world.image.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
        for name, answer in right.items():
            found = world.parts(name)
            assert found in (None, answer), (at, byte, name)
            lost += found is None
    assert lost


def test_any_cut_is_no_answer_or_the_right_one(world: World) -> None:
    right = {name: world.parts(name) for name, _ in world.devices}
    whole = world.image.read_bytes()
    for length in range(0, len(whole), 3):
        world.image.write_bytes(whole[:length])
        for name, answer in right.items():
            assert world.parts(name) in (None, answer), (length, name)


def test_junk_is_no_answer(world: World) -> None:
    whole = world.image.read_bytes()
    generator = random.Random(7)
    for _ in range(300):
        junk = bytearray(whole)
        start = generator.randrange(len(junk))
        junk[start : start + generator.randrange(1, 40)] = generator.randbytes(generator.randrange(40))
        world.image.write_bytes(junk)
        for name, parts in world.devices:
            assert world.parts(name) in (None, parts)


def test_a_damaged_one_is_written_anew(world: World) -> None:
    world.image.write_bytes(b"junk")
    assert world.write()
    assert world.parts("b.com/y=0") == world.devices[2][1]


# --- many devices


def colliding(number: int) -> list[str]:
    """Names of one hash: the checksum is linear, so three that differ in the same places make a fourth; found here by search."""
    found: dict[int, list[str]] = {}
    for at in range(400_000):
        name = f"v.com/c={at:x}"
        same = found.setdefault(zlib.crc32(name.encode()) & 0xFFF, [])
        same.append(name)
        if len(same) == number:
            return same
    raise AssertionError("none found")


def test_names_whose_hashes_fall_together_are_found_or_left_out(tmp_path: Path) -> None:
    """Forty names that share twelve bits of their hash overflow their window; the table grows a few times, not for ever."""
    world = World(tmp_path)
    path = str(world.file)
    names = colliding(40)
    assert world.write([(name, [((path, name), {"env": [name]})]) for name in names])
    found = [name for name in names if world.parts(name) == [((path, name), {"env": [name]})]]
    assert [world.parts(name) for name in names if name not in found] == [None] * (len(names) - len(found))
    assert len(found) >= 8
    assert world.image.stat().st_size < 64_000


def test_names_of_the_same_hash_are_told_apart(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = str(world.file)
    one, other = "v.com/c=plumless", "v.com/c=buckeroo"  # the best known two words of one CRC-32
    assert zlib.crc32(one.encode()) == zlib.crc32(other.encode())
    assert world.write([(name, [((path, name), {"env": [name]})]) for name in (one, other)])
    assert [world.parts(name) for name in (one, other)] == [[((path, name), {"env": [name]})] for name in (one, other)]
    assert world.write([(one, [((path, one), {})])])
    assert (world.parts(one), world.parts(other)) == ([((path, one), {})], None)


def test_the_reads_for_one_device_do_not_grow_with_the_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    path = str(world.file)
    reads: list[int] = []
    read, pread = posix.read, posix.pread

    def note_read(fd: int, size: int) -> bytes:
        reads.append(size)
        return read(fd, size)

    def note_pread(fd: int, size: int, at: int) -> bytes:
        reads.append(size)
        return pread(fd, size, at)

    monkeypatch.setattr(posix, "read", note_read)
    monkeypatch.setattr(posix, "pread", note_pread)
    counts = []
    for number in (8, 2000):
        assert world.write([(f"v.com/c={at:04}", [((path, f"v.com/c={at:04}"), {"env": ["A=1"]})]) for at in range(number)])
        reads.clear()
        assert world.parts("v.com/c=0005") is not None
        counts.append(list(reads))
    assert counts[0] == counts[1]


# --- several at once, and what others leave behind


def test_a_left_over_of_this_process_number_is_no_obstacle_for_long(world: World) -> None:
    left = Path(f"{world.image}.{os.getpid()}")
    left.write_bytes(b"half")
    world.file.write_text("changed")
    assert world.write() is False
    assert not left.exists()
    assert world.write() is True


def test_a_full_disk_is_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    name = world.image
    before = name.read_bytes()

    def fail(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(posix, "write", fail)
    assert world.write() is False
    assert (os.listdir(world.home), name.read_bytes()) == ([name.name], before)


def test_short_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = posix.write
    monkeypatch.setattr(posix, "write", lambda fd, data: real(fd, bytes(data[:100])))
    assert world.write()
    assert world.parts("a.com/x=0") is not None


@pytest.mark.parametrize("home", ["/proc/none", "/dev/null", "/nowhere/home"])
def test_no_place_for_it_is_no_error(world: World, home: str) -> None:
    world.home = home
    assert (world.write(), world.parts("a.com/x=0")) == (False, None)


def test_sweeps_what_is_left_over(world: World, tmp_path: Path) -> None:
    gone, alive = tmp_path / "gone", tmp_path / "alive"
    gone.mkdir()
    alive.mkdir()
    for directory in (gone, alive):
        assert indexwriter.write([str(directory)], index.signature([str(directory)]), time.time_ns() + LATER, [], world.home)
    gone.rmdir()
    home = Path(world.home)
    kept = {f"index-00000001.{os.getppid()}", "other"}
    dead = {f"index-00000001.{2**22 + 1}", "index-00000002", "index-00000003.999999999999999999999999"}
    for name in kept | dead:
        (home / name).write_bytes(b"junk")
    (home / "index-00000004").mkdir()
    assert world.write()
    ours = {index.file_name(dirs) for dirs in (world.dirs, [str(alive)])}
    assert set(os.listdir(home)) == kept | ours | {"index-00000004"}


@pytest.mark.parametrize("call", ["listdir", "unlink"])
def test_a_sweep_that_meets_another_is_no_error(world: World, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Two processes that rebuild at once: the other one was faster, or somebody deletes everything meanwhile."""
    (Path(world.home) / f"index-00000001.{2**22 + 1}").touch()
    real = getattr(posix, call)

    def faster(path: Any, *args: Any, **more: Any) -> Any:
        if str(path).startswith(world.home):
            raise FileNotFoundError(2, "No such file or directory")
        return real(path, *args, **more)

    monkeypatch.setattr(posix, call, faster)
    assert world.write() is True


def test_two_that_rebuild_at_once_do_no_harm(world: World) -> None:
    """Several processes write and read the same index; each answer is the right one or none."""
    right = world.parts("a.com/x=0")
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for _ in range(60):
                    world.write()
                    if world.parts("a.com/x=0") not in (None, right):
                        break
                else:
                    status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0, 0]
    assert world.parts("a.com/x=0") == right
    assert os.listdir(world.home) == [world.image.name]
