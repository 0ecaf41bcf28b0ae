"""A CRI client that is just big enough for these tests: protobuf encoded by hand, carried to the socket by ``curl``.

A message is a dict ``{field number: value}``: text, bytes and dicts are length-delimited fields, ints and bools are varints, a list
repeats its field. The numbers are those of the Kubernetes CRI, ``runtime.v1``.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

Message = dict[int, Any]
Value = Union[int, bytes]

_CONTAINER, _NODE = 1, 2
"""``NamespaceMode``. Each container has its own pids, so its process is number 1; the sandbox shares the host's network, so no CNI
plugin, bridge or network namespace is needed."""


class CriError(Exception):
    """What the CRI answered instead of a result: the text that kubelet shows in the pod's events."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(message: Message) -> bytes:
    """The wire form of a message."""
    out = bytearray()
    for number, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):  # bool too
                out += _varint(number << 3) + _varint(int(one))
                continue
            body = encode(one) if isinstance(one, dict) else one.encode() if isinstance(one, str) else one
            out += _varint(number << 3 | 2) + _varint(len(body)) + body
    return bytes(out)


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    place = 0

    def number() -> int:
        nonlocal place
        result = shift = 0
        while True:
            byte = data[place]
            place += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while place < len(data):
        key = number()
        value: Value = number()
        if key & 7 == 2:
            assert isinstance(value, int)
            start, place = place, place + value
            value = data[start:place]
        yield key >> 3, value


def decode(data: bytes) -> dict[int, Value]:
    """The top-level fields of a message, the last value of each; length-delimited ones stay bytes."""
    return dict(_fields(data))


def _map(values: Mapping[str, str]) -> list[Message]:
    return [{1: name, 2: value} for name, value in values.items()]


def _text(value: Value | None) -> str:
    return value.decode() if isinstance(value, bytes) else ""


class Cri:
    """A connection to the CRI at ``socket``."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def call(self, method: str, message: Message) -> bytes:
        """Call ``RuntimeService/<method>``; raises CriError with the engine's message."""
        body = encode(message)
        with tempfile.TemporaryDirectory() as name:
            head, answer = Path(name, "head"), Path(name, "answer")
            command = ["curl", "-sS", "--max-time", "60", "--http2-prior-knowledge", "--unix-socket", str(self.socket), "-X", "POST"]
            for header in ("content-type: application/grpc", "te: trailers"):
                command += ["-H", header]
            command += ["--data-binary", "@-", "-D", str(head), "-o", str(answer), f"http://localhost/runtime.v1.RuntimeService/{method}"]
            subprocess.run(command, check=True, input=b"\0" + struct.pack(">I", len(body)) + body)
            headers = head.read_text(encoding="utf-8")
            data = answer.read_bytes() if answer.exists() else b""
        status = re.search(r"(?im)^grpc-status: *(\d+)", headers)
        if status is None or status[1] != "0":
            note = re.search(r"(?im)^grpc-message: *(.*)$", headers)
            raise CriError(urllib.parse.unquote(note[1].strip()) if note else headers)
        return data[5:]

    @staticmethod
    def pod(name: str, annotations: Mapping[str, str] | None = None, *, cgroup: str = "/cdieng") -> Message:
        """A PodSandboxConfig on the host's network, without a log directory: nothing is logged to disk."""
        metadata = {1: name, 2: name + "-uid", 3: "default", 4: 1}
        return {1: metadata, 7: _map(annotations or {}), 8: {1: cgroup, 2: {1: {1: _NODE, 2: _CONTAINER}}}}

    def run_pod(self, pod: Message, handler: str = "") -> str:
        """RunPodSandbox; the id of the sandbox."""
        return _text(decode(self.call("RunPodSandbox", {1: pod, 2: handler})).get(1))

    def create(
        self,
        sandbox: str,
        pod: Message,
        *,
        name: str = "main",
        image: str = "localhost/busybox:latest",
        command: Sequence[str] = ("sleep", "1000"),
        annotations: Mapping[str, str] | None = None,
        envs: Mapping[str, str] | None = None,
        cdi_devices: Sequence[str] = (),
    ) -> str:
        """CreateContainer; the id of the container. ``annotations`` are the container's own, as a device plugin sends them."""
        container: Message = {1: {1: name, 2: 1}, 2: {1: image}, 3: list(command), 6: _map(envs or {}), 10: _map(annotations or {})}
        container.update({15: {2: {3: {1: _NODE, 2: _CONTAINER}}}, 17: [{1: device} for device in cdi_devices]})
        return _text(decode(self.call("CreateContainer", {1: sandbox, 2: container, 3: pod})).get(1))

    def start(self, container: str) -> None:
        """StartContainer; containerd creates the container with the runtime here."""
        self.call("StartContainer", {1: container})

    def execute(self, container: str, *command: str) -> tuple[int, str, str]:
        """ExecSync: (exit code, stdout, stderr)."""
        answer = decode(self.call("ExecSync", {1: container, 2: list(command), 3: 20}))
        code = answer.get(3, 0)
        assert isinstance(code, int)
        return code, _text(answer.get(1)), _text(answer.get(2))

    def stats(self, container: str) -> bytes:
        """ContainerStats, undecoded."""
        return self.call("ContainerStats", {1: container})

    def status(self, container: str) -> dict[int, Value]:
        """ContainerStatus: fields 7 (exit code), 10 (reason) and 11 (message) among others."""
        status = decode(self.call("ContainerStatus", {1: container})).get(1)
        assert isinstance(status, bytes)
        return decode(status)

    def remove(self, container: str) -> None:
        """StopContainer with one second of grace, then RemoveContainer."""
        self.call("StopContainer", {1: container, 2: 1})
        self.call("RemoveContainer", {1: container})

    def remove_pod(self, sandbox: str) -> None:
        """StopPodSandbox, then RemovePodSandbox."""
        self.call("StopPodSandbox", {1: sandbox})
        self.call("RemovePodSandbox", {1: sandbox})
