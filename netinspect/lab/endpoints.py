"""TCP endpoints that are brought into a state and kept there (Linux)."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from socket import IPPROTO_TCP, SOL_SOCKET

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
BPF_RET = 0x06  # linux/bpf_common.h
FIN_WAIT2, CLOSE, CLOSING = 5, 7, 11  # include/net/tcp_states.h
PATIENCE_S = 5


def deafen(sock: socket.socket) -> None:
    """Let the socket never hear anything again: struct sock_fprog with one `ret 0` (socket(7))."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    filter_program = struct.pack("HP", 1, ctypes.addressof(program))
    sock.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, filter_program)


def sock_state(sock: socket.socket) -> int:
    """The number of the state: the first byte of struct tcp_info (tcp(7))."""
    return sock.getsockopt(IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def await_state(sock: socket.socket, number: int) -> None:
    """Wait for what the peer's acknowledgement, perhaps a delayed one, will bring.

    :raises TimeoutError: it did not bring it.
    """
    deadline = time.monotonic() + PATIENCE_S
    while sock_state(sock) != number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still in state {sock_state(sock)}, not {number}")
        time.sleep(0.005)
