"""Which experiments there are, and how large they may get. Small: help and errors load it too."""

from __future__ import annotations

from typing import NamedTuple

from netinspect.errors import UsageError, unknown_word


class Experiment(NamedTuple):
    """What is known of an experiment without running it.

    `reveals` are the arguments of netinspect that show what it makes.
    """

    title: str
    reveals: tuple[str, ...]
    needs: str = ""  # why it cannot run everywhere; empty: it can
    is_private: bool = False  # it changes settings or forges: only in a namespace of its own


FILTERS_SOCKETS = "a socket filter that drops what arrives (SO_ATTACH_FILTER)"

EXPERIMENTS = {
    "states": Experiment(
        "a socket in every state of TCP, and what each waits for",
        ("--proto", "tcp"),
        needs=FILTERS_SOCKETS,
    ),
    "time-wait": Experiment(
        "seven ways to use HTTP connections, and their TIME_WAIT",
        ("time-wait", "--sample", "2"),
    ),
    "close-wait": Experiment(
        "a server that never closes what its clients have closed",
        ("-s", "close-wait", "--sort", "-recv_q"),
    ),
    "accept-queue": Experiment(
        "a server that does not accept fast enough",
        ("-l", "--sort", "-recv_q"),
    ),
    "port-exhaustion": Experiment(
        "connect() fails: one destination has used up all ports",
        ("time-wait",),
        needs="a small range of local ports (ip_local_port_range)",
    ),
    "zero-window": Experiment(
        "a receiver that does not read, a sender that waits for it",
        ("--proto", "tcp", "-o", "wide", "send_q > 0"),
    ),
    "syn-flood": Experiment(
        "forged SYNs fill the queue, and SYN cookies help",
        ("-s", "syn-recv"),
        needs="packets with forged addresses",
        is_private=True,
    ),
}

# The modes of time-wait: what client and server do after each answer.
MODES = {
    "new": "a new connection for every request; the client closes it",
    "server-closes": "a new connection for every request; the server closes it",
    "undrained-small": "a pool, but bodies of 200 bytes are closed unread",
    "undrained-large": "a pool, but bodies of 200 kB are closed unread",
    "drained": "a pool, and every body is read to its end",
    "small-pool": "16 requests at once, a pool that keeps 2 connections",
    "pool": "16 requests at once, a pool that keeps 100 connections",
}
DEFAULT_MODE = "undrained-small"

DEFAULT_REQUESTS, MOST_REQUESTS = 500, 20_000
# On the machine's own loopback each of them may leave a TIME_WAIT socket for a minute.
DEFAULT_REQUESTS_SHARED, MOST_REQUESTS_SHARED = 200, 1_000
DEFAULT_RATE, HIGHEST_RATE = 50, 1_000
LONGEST_TRAFFIC_S = 600
LONGEST_HOLD_S = 3_600


def check_experiment(name: str) -> Experiment:
    """The experiment of this name.

    :raises UsageError: there is none.
    """
    if name not in EXPERIMENTS:
        raise UsageError(unknown_word("experiment", name, EXPERIMENTS))
    return EXPERIMENTS[name]


class Setup(NamedTuple):
    """What the user wants of an experiment. `requests` is None where nothing was said."""

    mode: str = DEFAULT_MODE
    requests: int | None = None
    rate: int = DEFAULT_RATE
    hold_seconds: int = 0
