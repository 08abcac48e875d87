"""The exit statuses: a contract with scripts."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process ends with."""

    DONE = 0  # also when the list is empty
    NO = 1  # the answer is no: -q without a match
    USAGE = 2
    UNREADABLE = 3  # the system could not be read, or the answer not be written
    INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT
    BROKEN_PIPE = 141  # the reader has gone: 128 + SIGPIPE
