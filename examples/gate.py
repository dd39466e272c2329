#!/usr/bin/env python3
"""Reads the gate page, as docs/interfaces.md describes it; Linux, nothing but the standard library.

    gate.py                     prints the page as JSON; exit code 0: open on a proof, 1: not, 69: no page, or no agent
    gate.py --wait [SECONDS]    waits until the gate is open on a proof (60 s); exit code 75 if it stays shut

As a module: Page().read() is a State, Page().wait(seconds) a State or None.
"""

import ctypes
import json
import mmap
import os
import platform
import stat
import struct
import sys
import time
from typing import NamedTuple, Optional

PATH = "/run/clockgate/public/gate"
SIZE = 4096
MAGIC, VERSION = b"CLKGATE\0", 1
HEADER = struct.Struct("=8sII16s")  # magic, version, size, boot id
BODY = struct.Struct("=IIQIIqQQQQQQI4x256s")  # from byte 32: gate, sequence, epoch, ...
ADDED = struct.Struct("=QqQq")  # from byte 376, where size says so: alive until, and the three differences of clocks
LEAP = struct.Struct("=Qq")  # from byte 408, where size says so: when a leap second comes, and what it moves the clock by
GATE_AT, SEQUENCE_AT, ADDED_AT, LEAP_AT = 32, 36, 376, 408
UNKNOWN = 2**64 - 1
ENDED = 7
NOISE = 1_000_000  # nanoseconds: differences of clocks that were read one after the other are equal to so much

STATES = ["Unknown", "Suspended", "Disrupted", "Settling", "Synchronized", "FreeRunning", "GaveUp",
          "Ended"]
CAUSES = ["started", "sleep", "resume", "foreign-step", "snapshot", "restore", "requested", "expired", "drifted",
          "daemon-disagrees", "pause"]

SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "s390x": 238, "ppc64le": 221}
FUTEX_WAIT = 0  # without FUTEX_PRIVATE_FLAG: the word is another process's too

CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME = time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class NoPage(Exception):
    """There is no page that we can read, or it is another boot's."""


class State(NamedTuple):
    """One consistent look at the page; times are seconds of CLOCK_BOOTTIME, the rest seconds."""

    gate: str
    proven: bool
    agent: str
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
            # A FIFO in its place would wait for a writer.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise NoPage(f"cannot open {path}: {error.strerror}") from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise NoPage(f"{path} is not a regular file")
            if found.st_size < SIZE:
                raise NoPage(f"{path} is cut short")
            # Not through the mapping: to touch a page that was never written may ask for memory that there is none of.
            if os.pread(fd, len(MAGIC), 0) != MAGIC:
                raise NoPage(f"{path}: no agent has been here yet")
            # Through libc, since Python gives no address of a read-only mapping, which futex(2) wants.
            self._address = libc.mmap(None, SIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        except NoPage:
            os.close(fd)
            raise
        self._fd = fd
        if self._address == ctypes.c_void_p(-1).value:
            raise NoPage(f"cannot map {path}: {os.strerror(ctypes.get_errno())}")
        self._path = path
        self._boot_id = bytes.fromhex(_first_line("/proc/sys/kernel/random/boot_id").replace("-", ""))
        self._shift = _time_namespace()

    def read(self) -> State:
        """One consistent look."""
        state = self._look()
        if state.word == 1 and not state.proven:
            # We may have been taken into another time namespace since.
            self._shift = _time_namespace()
            state = self._look()
        return state

    def _look(self) -> State:
        found = os.fstat(self._fd)
        if found.st_size < SIZE or found.st_nlink == 0:
            # Behind the end of the file there is nothing to load: the kernel would end us (SIGBUS).
            raise NoPage(f"{self._path} was taken away or cut short; there may be another one")
        for _ in range(1000):
            before = self._sequence()
            now = Clocks.now(*self._shift)
            page = ctypes.string_at(self._address, SIZE)
            if before % 2 == 0 and before == self._sequence():
                return self._parse(page, now)
        raise NoPage(f"{self._path}: the agent was killed while it wrote; the next one repairs it")

    def _sequence(self) -> int:
        return ctypes.c_uint32.from_address(self._address + SEQUENCE_AT).value

    def _parse(self, page: bytes, now: "Clocks") -> State:
        magic, version, size, boot_id = HEADER.unpack_from(page)
        if magic != MAGIC:
            raise NoPage(f"{self._path}: no agent has been here yet")
        if version != VERSION:
            raise NoPage(f"{self._path} has version {version}, and this reader knows {VERSION}")
        if boot_id != self._boot_id:
            raise NoPage(f"{self._path} is of another boot")
        (gate, _sequence, epoch, state, cause, offset, bound, as_of, threshold, valid_until, since, _deadline, max_drift,
         why) = BODY.unpack_from(page, GATE_AT)
        says_more = size >= ADDED_AT + ADDED.size
        alive_until, *then = ADDED.unpack_from(page, ADDED_AT) if says_more else (UNKNOWN, None)
        leap = LEAP.unpack_from(page, LEAP_AT) if size >= LEAP_AT + LEAP.size else (0, 0)
        agent = "ended" if state == ENDED else "alive" if now.boot < alive_until else "silent"
        text = why.rstrip(b"\0").decode("utf-8", "replace")
        known = bound != UNKNOWN
        growth = max_drift * max(0, now.boot - as_of) // 1_000_000
        bound_now, doubt = bound + growth, None
        # A proof that has run out is none, whatever the word says: so a dead agent's gate shuts by itself.
        if gate == 1 and now.boot >= valid_until:
            doubt = "the proof has expired and the agent has not renewed it"
        elif gate == 1 and says_more:
            bound_now, doubt = now.judge(then, leap, offset, bound, growth, threshold)
        # What was opened without a proof is the word of an agent that lives: nobody else would shut it.
        is_word = gate == 2 and agent == "alive"
        return State(
            gate="open" if gate == 1 and not doubt else "unproven" if is_word else "shut",
            proven=gate == 1 and not doubt,
            agent=agent,
            word=gate,
            epoch=epoch,
            state=STATES[state] if state < len(STATES) else "of a later version",
            cause=CAUSES[cause] if cause < len(CAUSES) else "unknown",
            offset=offset / 1e9 if known else None,
            bound=bound_now / 1e9 if known else None,
            as_of=as_of / 1e9,
            threshold=threshold / 1e9,
            valid_until=valid_until / 1e9,
            since=since / 1e9,
            why=doubt or text,
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


class Clocks(NamedTuple):
    """The clocks as the host has them, nanoseconds, and within how long they were read."""

    real: int
    boot: int
    mono: int
    raw: int
    width: int

    @classmethod
    def now(cls, ahead_mono: int, ahead_boot: int) -> "Clocks":
        """The narrowest of five attempts."""
        return min((cls._attempt(ahead_mono, ahead_boot) for _ in range(5)), key=lambda clocks: clocks.width)

    @classmethod
    def _attempt(cls, ahead_mono: int, ahead_boot: int) -> "Clocks":
        read = time.clock_gettime_ns
        before = read(time.CLOCK_MONOTONIC)
        real, boot, raw = read(time.CLOCK_REALTIME), read(CLOCK_BOOTTIME), read(CLOCK_MONOTONIC_RAW)
        after = read(time.CLOCK_MONOTONIC)
        return cls(real, boot - ahead_boot, (before + after) // 2 - ahead_mono, raw - ahead_mono, after - before)

    def judge(self, then: list, leap: tuple, offset: int, bound: int, growth: int, threshold: int) -> tuple:
        """The most that the clock is wrong now, and why that is too much, if it is; then: the differences at the proof."""
        real_minus_boot, boot_minus_mono, mono_minus_raw = then
        slept = self.boot - self.mono - boot_minus_mono
        if abs(slept) > max(NOISE, self.width):
            return bound, f"the machine slept for {slept / 1e9:.3f} s since the proof"
        stepped = self._without_leap(self.real - self.boot - real_minus_boot, *leap)
        bent = self.mono - self.raw - mono_minus_raw
        # Up to the known rate a bend is the crystal's correction; beyond it is a slew, which moves the clock.
        slewed = max(0, abs(bent) - growth) * (1 if bent > 0 else -1)
        now = abs(offset - stepped - slewed) + (bound - abs(offset)) + growth + self.width
        if now <= threshold:
            return now, None
        return now, f"the clock was moved by {(stepped + slewed) / 1e9:+.3f} s since the proof, and not measured again"

    def _without_leap(self, moved: int, at: int, leap: int) -> int:
        """What of a move of the clock is not the leap second's, which moves the truth as well; at: when, leap: by how much."""
        if leap == 0 or self.boot + NOISE < at:
            return moved
        # A second that is inserted is the first of the next day too, until the kernel leaps.
        if self.boot < at + max(0, -leap) + NOISE and abs(moved) < abs(moved - leap):
            return moved
        return moved - leap


def _first_line(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.readline().strip()


def _time_namespace() -> tuple:
    """How far our CLOCK_MONOTONIC and CLOCK_BOOTTIME are ahead of the host's, nanoseconds (time_namespaces(7))."""
    ahead = {"monotonic": 0, "boottime": 0, "1": 0, "7": 0}
    try:
        # What follows is our children's; it is ours where the two are one.
        if os.readlink("/proc/self/ns/time") == os.readlink("/proc/self/ns/time_for_children"):
            with open("/proc/self/timens_offsets", encoding="ascii") as file:
                for clock, seconds, nanos in map(str.split, file):
                    ahead[clock] = int(seconds) * 1_000_000_000 + int(nanos)
    except OSError:
        pass  # a kernel without time namespaces
    return ahead["monotonic"] + ahead["1"], ahead["boottime"] + ahead["7"]


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
    return 0 if state.proven else 1 if state.agent == "alive" else 69


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
