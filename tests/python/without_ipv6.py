"""Replaces itself by a program that finds no IPv6, as on a host that was started without: every socket of that family is refused."""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

# Of the machine: its number for the kernel's audits, and that of the system call `socket`.
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CALL, MACHINE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse_ipv6() -> None:
    machine, call = MACHINES[platform.machine()]
    instructions = [
        (LOAD, 0, 0, MACHINE),
        (JUMP_IF_EQUAL, 0, 4, machine),
        (LOAD, 0, 0, CALL),
        (JUMP_IF_EQUAL, 0, 2, call),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_IF_EQUAL, 1, 0, socket.AF_INET6),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL_WITH | errno.EAFNOSUPPORT),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    library = ctypes.CDLL(None, use_errno=True)
    program = Program(len(instructions), code)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


refuse_ipv6()
os.execvp(sys.argv[1], sys.argv[1:])
