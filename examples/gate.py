#!/usr/bin/env python3
"""Reads the gate page, as docs/interfaces.md describes it; Linux, nothing but the standard library.

    gate.py                     prints the page as JSON; exit code 0: open on a proof, 1: not, 69: no page
    gate.py --wait [SECONDS]    waits until the gate is open on a proof (60 s); exit code 75 if it stays shut

As a module: Page().read() is a State, Page().wait(seconds) a State or None.
"""

import ctypes
import json
import mmap
import os
import platform
import struct
import sys
import time
from typing import NamedTuple, Optional

PATH = "/run/clockgate/public/gate"
SIZE = 4096
MAGIC, VERSION = b"CLKGATE\0", 1
HEADER = struct.Struct("=8sII16s")  # magic, version, size, boot id
BODY = struct.Struct("=IIQIIqQQQQQQI4x256s")  # from byte 32: gate, sequence, epoch, ...
GATE_AT, SEQUENCE_AT = 32, 36
UNKNOWN = 2**64 - 1

GATES = {1: "open", 2: "unproven"}
STATES = ["Unknown", "Suspended", "Disrupted", "Settling", "Synchronized", "FreeRunning", "GaveUp"]
CAUSES = ["started", "sleep", "resume", "foreign-step", "snapshot", "restore", "requested", "expired", "drifted",
          "daemon-disagrees", "pause"]

SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "s390x": 238, "ppc64le": 221}
FUTEX_WAIT = 0  # without FUTEX_PRIVATE_FLAG: the word is another process's too

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class NoPage(Exception):
    """There is no page that we can read, or it is another boot's."""


class State(NamedTuple):
    """One consistent look at the page; times are seconds of CLOCK_BOOTTIME, the rest seconds."""

    gate: str
    proven: bool
    word: int
    epoch: int
    state: str
    cause: str
    offset: Optional[float]
    bound: Optional[float]
    as_of: float
    threshold: float
    valid_until: float
    since: float
    why: str


class Page:
    """The page, mapped read-only."""

    def __init__(self, path: str = PATH):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NoPage(f"cannot open {path}: {error.strerror}") from error
        try:
            if os.fstat(fd).st_size < SIZE:
                raise NoPage(f"{path} is cut short")
            # Through libc, since Python gives no address of a read-only mapping, which futex(2) wants.
            self._address = libc.mmap(None, SIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        finally:
            os.close(fd)
        if self._address == ctypes.c_void_p(-1).value:
            raise NoPage(f"cannot map {path}: {os.strerror(ctypes.get_errno())}")
        self._path = path
        self._boot_id = bytes.fromhex(_first_line("/proc/sys/kernel/random/boot_id").replace("-", ""))
        self._ahead = _time_namespace()

    def read(self) -> State:
        """One consistent look."""
        for _ in range(1000):
            before = self._sequence()
            page = ctypes.string_at(self._address, SIZE)
            if before % 2 == 0 and before == self._sequence():
                return self._parse(page)
        raise NoPage(f"{self._path}: the agent was killed while it wrote; the next one repairs it")

    def _sequence(self) -> int:
        return ctypes.c_uint32.from_address(self._address + SEQUENCE_AT).value

    def _parse(self, page: bytes) -> State:
        magic, version, _size, boot_id = HEADER.unpack_from(page)
        if magic != MAGIC:
            raise NoPage(f"{self._path}: no agent has been here yet")
        if version != VERSION:
            raise NoPage(f"{self._path} has version {version}, and this reader knows {VERSION}")
        if boot_id != self._boot_id:
            raise NoPage(f"{self._path} is of another boot")
        (gate, _sequence, epoch, state, cause, offset, bound, as_of, threshold, valid_until, since, _deadline, max_drift,
         why) = BODY.unpack_from(page, GATE_AT)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._ahead
        # A proof that has run out is none, whatever the word says: so a dead agent's gate shuts by itself.
        proven = gate == 1 and now < valid_until
        known = bound != UNKNOWN
        return State(
            gate="shut" if gate == 1 and not proven else GATES.get(gate, "shut"),
            proven=proven,
            word=gate,
            epoch=epoch,
            state=STATES[state] if state < len(STATES) else "of a later version",
            cause=CAUSES[cause] if cause < len(CAUSES) else "unknown",
            offset=offset / 1e9 if known else None,
            bound=(bound + max_drift * max(0, now - as_of) // 1_000_000) / 1e9 if known else None,
            as_of=as_of / 1e9,
            threshold=threshold / 1e9,
            valid_until=valid_until / 1e9,
            since=since / 1e9,
            why=why.rstrip(b"\0").decode("utf-8", "replace"),
        )

    def wait(self, seconds: float) -> Optional[State]:
        """Waits until the gate is open on a proof; None if it still is not after so long."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.read()
            if state.proven:
                return state
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            # The agent wakes every sleeper when the word changes; the second is for an agent that was killed meanwhile.
            self._sleep(state.word, min(left, 1.0))

    def _sleep(self, word: int, seconds: float) -> None:
        number = SYS_FUTEX.get(platform.machine())
        if number is None or word == 1:
            # An expired proof is shut with the word at 1: it is looked for, nobody wakes us.
            time.sleep(min(seconds, 0.05))
            return
        timeout = struct.pack("ll", int(seconds), int(seconds % 1 * 1e9))
        address = ctypes.c_void_p(self._address + GATE_AT)
        libc.syscall(ctypes.c_long(number), address, FUTEX_WAIT, ctypes.c_uint32(word), timeout, None, 0)


def _first_line(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.readline().strip()


def _time_namespace() -> int:
    """How far our CLOCK_BOOTTIME is ahead of the host's, nanoseconds (time_namespaces(7))."""
    try:
        with open("/proc/self/timens_offsets", encoding="ascii") as file:
            for clock, seconds, nanos in map(str.split, file):
                if clock in ("boottime", "7"):
                    return int(seconds) * 1_000_000_000 + int(nanos)
    except OSError:
        pass  # a kernel without time namespaces
    return 0


def main(args: list) -> int:
    try:
        page = Page(os.environ.get("CLOCKGATE_PAGE", PATH))
        if args[:1] == ["--wait"]:
            state = page.wait(float(args[1]) if args[1:] else 60.0)
            if state is None:
                print(f"gate.py: still shut: {page.read().why}", file=sys.stderr)
                return 75
        else:
            state = page.read()
    except NoPage as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 69
    print(json.dumps(state._asdict(), indent=2))
    return 0 if state.proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
