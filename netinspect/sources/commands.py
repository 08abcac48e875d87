"""Running the programs of the system that tell of sockets: netstat, lsof, sockstat, sysctl."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from netinspect.errors import RefusedError
from netinspect.model import decode_name
from netinspect.sources.platforms import system_path

# How long a program may be silent. Not how long it may run: it waits while we write to a pager.
SILENCE_S = 10.0
BLOCK_SIZE = 1 << 16
LONGEST_LINE = 1 << 20
MOST_OUTPUT = 1 << 30  # a million sockets of macOS are 250 MB
MOST_COMPLAINT = 1 << 12
TRY_IT = "run it by hand to see why"


class Command:
    """One run of a program: iterate over it once, for its lines without their ends.

    They are decoded as UTF-8 with surrogateescape, as `netinspect.parse.captured.Lines` are.
    The program gets no shell, no stdin, and the C locale; it is ended when the iteration is.

    :param path: where the system has the program, below `root`.
    :param nothing_status: its exit status when there is nothing to tell (lsof: 1).
    :param partial_status: when it told a part of what it was asked for (sysctl: 1).
    :param root: see `system_path`.
    """

    def __init__(
        self,
        path: str,
        *arguments: str,
        nothing_status: int = 0,
        partial_status: int = 0,
        root: str | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._arguments = [system_path(path, root), *arguments]
        self._nothing_status = nothing_status
        self._partial_status = partial_status
        self._silence_s = silence_s
        self._complaint = b""
        self._size = 0

    @property
    def complaint(self) -> str:
        """What it has printed on stderr, as one line; empty when it has nothing to say."""
        lines = decode_name(self._complaint).splitlines()
        return " / ".join(filter(None, map(str.strip, lines)))

    @property
    def printed_nothing(self) -> bool:
        """Whether stdout has been empty so far."""
        return self._size == 0

    def __str__(self) -> str:
        return decode_name(os.fsencode(" ".join(self._arguments)))

    def __iter__(self) -> Iterator[str]:
        """The lines.

        :raises RefusedError: the program is missing, may not be run, is silent for too long, was
            killed, or failed; also after lines have come.
        """
        with self._start() as process:
            try:
                yield from self._lines(process)
                self._check(process.wait(self._silence_s))
            except subprocess.TimeoutExpired:
                raise self._hung() from None
            finally:
                _end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        program = decode_name(os.fsencode(self._arguments[0]))
        try:
            return subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # so that what it starts can be ended with it
            )
        except FileNotFoundError:
            raise RefusedError(
                f"{program}: no such program (it is part of the system; "
                "--source psutil does without it)"
            ) from None
        except OSError as error:
            raise RefusedError(f"{program}: cannot be run: {error.strerror}") from None

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[str]:
        rest = b""
        for block in self._blocks(process):
            self._size += len(block)
            lines, line_end, rest = (rest + block).rpartition(b"\n")
            if len(rest) > LONGEST_LINE or self._size > MOST_OUTPUT:
                raise RefusedError(f"{self}: more output than sockets can be; {TRY_IT}")
            if line_end:
                yield from lines.decode("utf-8", "surrogateescape").split("\n")
        if rest:
            yield rest.decode("utf-8", "surrogateescape")

    def _blocks(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """What it prints on stdout, as it comes; what it prints on stderr is kept."""
        out, err = _pipes(process)
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(self._silence_s)
                if not ready:
                    raise self._hung()
                for key, _ in ready:
                    block = os.read(key.fd, BLOCK_SIZE)
                    if not block:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is out:
                        yield block
                    else:
                        self._complaint = (self._complaint + block)[:MOST_COMPLAINT]

    def _check(self, status: int) -> None:
        """Whether it has done its work. macOS's netstat fails with status 0 and a complaint."""
        said = f": {self.complaint}" if self.complaint else ""
        if status < 0:
            raise RefusedError(f"{self}: killed by {_signal_name(-status)}{said}; {TRY_IT}")
        other = self._nothing_status if self.printed_nothing else self._partial_status
        if status not in (0, other) or (self.printed_nothing and said):
            raise RefusedError(f"{self}: exit status {status}{said}; {TRY_IT}")

    def _hung(self) -> RefusedError:
        return RefusedError(f"{self}: silent for {self._silence_s:g} seconds, ended; {TRY_IT}")


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both were asked for")
    return process.stdout, process.stderr


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is still running, and what it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
