"""A process that opens and closes sockets all the time, until its standard input ends.

`python -m tests.churn RATE`: about RATE a second, half of them TCP; the latest few stay open.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import count

# struct linger: on, 0 seconds: closing resets the connection, so that no TIME_WAIT takes the port
RESET = struct.pack("ii", 1, 0)
ROUNDS_OPEN = 10
SOCKETS_A_ROUND = 6
TIME_WAIT_EVERY = 10


def open_round(server: socket.socket, *, leaves_time_wait: bool) -> Iterator[socket.socket]:
    """Sockets that move through the kernel's tables: bound, listening, connected."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = socket.socket()
    if not leaves_time_wait:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.connect(server.getsockname())
    bound = socket.socket(type=socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    connected = socket.socket(type=socket.SOCK_DGRAM)
    connected.connect(bound.getsockname())
    both = socket.socket(type=socket.SOCK_DGRAM)
    both.bind(("127.0.0.1", 0))
    both.connect(bound.getsockname())
    # the client closes first
    yield from (client, server.accept()[0], listener, bound, connected, both)


def main() -> None:
    rate = int(sys.argv[1])
    began = time.monotonic()
    rounds: deque[list[socket.socket]] = deque()
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        for number in count():
            if select.select([sys.stdin], [], [], 0)[0]:
                return
            leaves_time_wait = number % TIME_WAIT_EVERY == 0
            rounds.append(list(open_round(server, leaves_time_wait=leaves_time_wait)))
            if len(rounds) > ROUNDS_OPEN:
                for sock in rounds.popleft():
                    sock.close()
            due = began + number * SOCKETS_A_ROUND / rate
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
