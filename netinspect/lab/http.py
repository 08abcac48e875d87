"""A minimal HTTP/1.1 server, and a client with a pool whose manners are the experiment (RFC 9112).

What the client does after the answer is what the libraries do: one that has not read a body to its
end cannot use the connection again, and closes it; a pool that is full closes one. Here that is the
youngest, so that the others stay for good, whoever comes back first.
"""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

REQUEST = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
END_OF_HEADER = b"\r\n\r\n"
BUFFER_SIZE = 4096  # what a client reads at once, as Go's does
TIMEOUT_S = 30

REQUESTS, OPENED, FAILED = range(3)  # the numbers of a meter


class Manners(NamedTuple):
    """What the two sides do. `max_idle` is how many connections the pool keeps while unused."""

    body_size: int = 200
    server_closes: bool = False
    work_seconds: float = 0.0  # what the server takes for an answer
    reads_body: bool = True
    max_idle: int = 100
    at_once: int = 1  # requests at the same time


def serve(listener: socket.socket, manners: Manners) -> None:
    """Answer requests, a thread a connection. Never returns."""
    closing = "Connection: close\r\n" if manners.server_closes else ""
    header = f"HTTP/1.1 200 OK\r\nContent-Length: {manners.body_size}\r\n{closing}\r\n"
    answer = header.encode() + bytes(manners.body_size)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(connection, answer, manners)).start()


def _serve_one(connection: socket.socket, answer: bytes, manners: Manners) -> None:
    with connection, suppress(OSError):  # the client may reset it: that is one of the experiments
        while connection.recv(BUFFER_SIZE):
            time.sleep(manners.work_seconds)
            connection.sendall(answer)
            if manners.server_closes:
                return


class Pooled(NamedTuple):
    """A connection of the client, and its number, in the order of opening."""

    number: int
    connection: socket.socket


class Client:
    """A client that keeps up to `max_idle` connections to one server.

    :param meter: the numbers of REQUESTS, OPENED and FAILED, counted up here.
    """

    def __init__(self, server: tuple[str, int], manners: Manners, meter: memoryview) -> None:
        self._server = server
        self._manners = manners
        self._meter = meter
        self._idle: list[Pooled] = []  # the oldest first
        self._lock = threading.Lock()

    def request(self) -> None:
        """One request; a failure is counted."""
        try:
            pooled = self._take()
        except OSError:
            self._count(FAILED)
            return
        try:
            pooled.connection.sendall(REQUEST)
            is_reusable = self._read_answer(pooled.connection)
        except OSError:
            pooled.connection.close()
            self._count(FAILED)
            return
        if is_reusable:
            self._give_back(pooled)
        else:
            pooled.connection.close()
        self._count(REQUESTS)

    def _count(self, number: int) -> int:
        with self._lock:
            self._meter[number] += 1
            return self._meter[number]

    def _take(self) -> Pooled:
        """A connection of the pool, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = socket.create_connection(self._server, TIMEOUT_S)
        return Pooled(self._count(OPENED), connection)

    def _read_answer(self, connection: socket.socket) -> bool:
        """Read what these manners read; whether the connection can be used again."""
        answer = connection.recv(BUFFER_SIZE)
        while END_OF_HEADER not in answer:
            answer += _receive(connection)
        if not self._manners.reads_body:
            return False
        size = answer.index(END_OF_HEADER) + len(END_OF_HEADER) + self._manners.body_size
        while len(answer) < size:
            answer += _receive(connection)
        if self._manners.server_closes:
            return bool(connection.recv(BUFFER_SIZE))  # its end, before ours
        return True

    def _give_back(self, pooled: Pooled) -> None:
        with self._lock:
            self._idle = sorted([*self._idle, pooled])
            surplus = self._idle[self._manners.max_idle :]
            del self._idle[self._manners.max_idle :]
        for youngest in surplus:
            youngest.connection.close()


def _receive(connection: socket.socket) -> bytes:
    """More of the answer.

    :raises OSError: the server has closed.
    """
    received = connection.recv(BUFFER_SIZE)
    if not received:
        raise ConnectionResetError("closed within an answer")
    return received


def send_requests(client: Client, count: int, *, rate: int, at_once: int) -> None:
    """So many requests, `rate` a second, always `at_once` of them at the same time."""
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as workers:
        for first in range(0, count, at_once):
            time.sleep(max(0.0, began + first / rate - time.monotonic()))
            number = min(at_once, count - first)
            for request in [workers.submit(client.request) for _ in range(number)]:
                request.result()
