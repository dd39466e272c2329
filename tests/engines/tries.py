#!/usr/bin/env python3
"""What a container may try against the gate page and the agent: tries.py PID

Prints what came of each as JSON: the name of an error, or "done". PID is the agent's, as the engine's host counts.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys

FOLDER = "/run/clockgate/public"
GATE = FOLDER + "/gate"
SIZE = 4096
MS_REMOUNT, MS_BIND = 32, 4096

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def checked(value):
    if value in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "")
    return value


def mapped(protection):
    fd = os.open(GATE, os.O_RDONLY)
    return checked(libc.mmap(None, SIZE, protection, mmap.MAP_SHARED, fd, 0))


def remount():
    checked(libc.mount(None, FOLDER.encode(), None, MS_REMOUNT | MS_BIND, None))


# What is mounted anew may be writable for those who come after.
TRIES = {
    "mount": remount,
    "open": lambda: os.open(GATE, os.O_RDWR),
    "map": lambda: mapped(mmap.PROT_READ | mmap.PROT_WRITE),
    "make its mapping writable": lambda: checked(libc.mprotect(mapped(mmap.PROT_READ), SIZE, mmap.PROT_WRITE)),
    "truncate": lambda: os.truncate(GATE, 0),
    "change its mode": lambda: os.chmod(GATE, 0o666),
    "remove": lambda: os.unlink(GATE),
    "add a file": lambda: os.open(FOLDER + "/other", os.O_WRONLY | os.O_CREAT),
    "signal": lambda: os.kill(int(sys.argv[1]), signal.SIGTERM),
    "connect": lambda: socket.socket(socket.AF_UNIX).connect("/run/clockgate/bus"),
}


def outcome(attempt):
    try:
        attempt()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]


there = [sorted(os.listdir(folder)) for folder in ("/run/clockgate", FOLDER)]
print(json.dumps({"there": there, **{name: outcome(attempt) for name, attempt in TRIES.items()}}))
