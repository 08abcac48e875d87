"""Captured output of netstat, ss, lsof and others, from files or stdin, in place of this machine.

The kind of each capture is recognised by its first lines, or named. A single capture streams;
several are read as a whole and joined.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from operator import attrgetter

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.errors import ParseError, UsageError, unknown_word
from netinspect.model import EVERY_TABLE, LISTENING, Connection, Note, Table, decode_name
from netinspect.parse.captured import BinaryFormat, Faults, Format, Lines
from netinspect.parse.netinspect_output import Origin, parse_origin
from netinspect.query import TRUE, Query
from netinspect.sources import RecordBatch
from netinspect.sources.chain import refusal_of_condition

STDIN = "-"
AUTO = "auto"
HEAD_LINES = 50  # by which a format is recognised
MOST_HEAD = 1 << 20
BLOCK_SIZE = 1 << 18
# Where the formats are; those first that look at more.
MODULES = (
    "netstat_json",  # any object of JSON may be a line of our own NDJSON
    "netinspect_output",
    "proc_files",
    "ss_dump",
    "ss",
    "lsof_fields",
    "lsof",
    "fstat",
    "sockstat",
    "netstat_windows",
    "netstat_macos",
    "netstat_bsd",
    "netstat_linux",
)
# PowerShell writes UTF-16, Notepad begins UTF-8 with a mark.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
# They show the sockets that processes have; none has one in TIME_WAIT.
OF_PROCESSES = frozenset({"lsof", "lsof-fields", "fstat"})
LINUX_TOOLS = frozenset({"ss", "proc", "gnu", "busybox"})  # the first word of a format's name
TABLE_KEYS = attrgetter("protocol", "family")
NOTHING = {"tcp_info": None, "memory": None, "options": None}


class Capture:
    """One capture, of which the first lines have been read.

    :param path: of a file; `-` is stdin.
    :param format_name: what `--format` takes; `auto` recognises it.
    :raises UsageError: it cannot be read, or is not what a known tool prints.
    """

    gives_owners = True  # this machine has nothing to say of them
    gives_extended = True

    def __init__(self, path: str, format_name: str = AUTO) -> None:
        self.label = (
            "stdin" if path == STDIN else decode_name(path.encode("utf-8", "surrogateescape"))
        )
        self.faults = Faults()
        self._rest = _blocks(path, self.label)
        try:
            self._head = _head(self._rest)
            self.format = _find_format(format_name) or _recognise(self._head, self.label)
        except UsageError:
            self.close()
            raise
        self.origin = parse_origin(_first_lines(self._head))

    @property
    def name(self) -> str:
        """As `sources` has it."""
        return self.format.name

    @property
    def notes(self) -> list[Note]:
        """What is to be said of it, as far as it has been read."""
        skipped = self.faults.count
        if not skipped:
            return self.faults.all_notes()
        rows = "row" if skipped == 1 else "rows"
        first = self.faults.kept[0].line
        message = (
            f"{skipped} {rows} of {self.label} could not be read, first line {first}; "
            "--strict shows them"
        )
        return [*self.faults.all_notes(), Note("rows_skipped", skipped, message)]

    def close(self) -> None:
        """Read no further."""
        self._rest.close()

    def batches(self) -> Iterator[list[Connection]]:
        """All its sockets, to be read once.

        :raises UsageError: it cannot be read any further.
        :raises ParseError: it is not what its format says, as a whole.
        """
        blocks = chain([self._head], self._rest)
        try:
            if isinstance(self.format, BinaryFormat):
                yield from self.format.read(blocks, self.faults)
            else:
                yield from self.format.read(_lines(blocks), self.faults)
        except ParseError as error:
            raise ParseError(f"{self.label}: {error}") from None


class Captures:
    """Captures of one machine in the place of its sources. See `Chain`.

    :raises UsageError: one of them cannot be read, or is not what a known tool prints.
    """

    def __init__(self, paths: Sequence[str], formats: Sequence[str] = ()) -> None:
        if paths.count(STDIN) > 1:
            raise UsageError("--from -: stdin can be read only once")
        if formats and len(formats) != len(paths):
            raise UsageError(
                f"--format: expected one for each --from, which are {len(paths)}, found "
                f"{len(formats)}; auto recognises one"
            )
        names = formats or (AUTO,) * len(paths)
        self.used: list[Capture] = []
        for path, name in zip(paths, names, strict=True):
            try:
                self.used.append(Capture(path, name))
            except UsageError:
                for capture in self.used:
                    capture.close()
                raise
        self._held: list[Connection] | None = None
        self._seen: set[Table] = set()
        self._extended: bool | None = None  # None: nobody asked
        self._asks_time_wait = False

    @property
    def origin(self) -> Origin:
        """Of the first that tells it."""
        known = (c.origin for c in self.used if c.origin != Origin())
        return next(known, Origin())

    @property
    def is_linux(self) -> bool:
        """Whether all of it comes from Linux, by what there is on no other system."""
        tools = {capture.name.partition("-")[0] for capture in self.used}
        return tools <= LINUX_TOOLS or self.origin.platform == "linux"

    def open(self, query: Query) -> Iterator[RecordBatch]:
        """The sockets of the tables of the query.

        :raises UntestedError: only a kernel can test the condition.
        """
        if query.condition != TRUE:
            for table in query.tables:
                refusal = refusal_of_condition("a capture", table, query)
                if refusal:
                    raise refusal
        has_tcp = any(table.protocol == "tcp" for table in query.tables)
        if has_tcp and (query.states is None or "TIME_WAIT" in query.states):
            self._asks_time_wait = True
        return self._batches(query)

    def _batches(self, query: Query) -> Iterator[RecordBatch]:
        wanted = frozenset(query.tables)
        has_all = len(wanted) == len(EVERY_TABLE)
        for connections in self._all():
            if not has_all:
                connections = [c for c in connections if (c.protocol, c.family) in wanted]
            if query.is_extended:
                connections = self._with_extended(connections)
            self._seen.update(map(Table._make, set(map(TABLE_KEYS, connections))))
            yield RecordBatch(connections)

    def _all(self) -> Iterable[list[Connection]]:
        if self._held is None and len(self.used) == 1:
            return self.used[0].batches()
        return [self._hold()]

    def _hold(self) -> list[Connection]:
        """All sockets at once."""
        if self._held is None:
            first, *others = (chain.from_iterable(c.batches()) for c in self.used)
            self._held = list(first)
            if others:
                from netinspect.parse.join import join

                for other in others:
                    self._held = join(self._held, other)
        return self._held

    def listeners(self) -> list[Connection]:
        """What may be a listener. Holds all sockets."""
        return [c for c in self._hold() if c.state in LISTENING]

    def tells(self, test: Callable[[Connection], object]) -> bool:
        """Whether any socket meets the test. Holds all; to be asked before they are read."""
        return any(map(test, self._hold()))

    def _with_extended(self, connections: list[Connection]) -> list[Connection]:
        """With the keys that were asked for."""
        full = []
        for connection in connections:
            missing = {k: None for k in NOTHING if getattr(connection, k) is UNSET}
            self._extended = self._extended or len(missing) < len(NOTHING)
            full.append(replace(connection, **missing) if missing else connection)
        return full

    def readable(self, tables: Iterable[Table]) -> list[Table]:
        """Those of the tables of which there were sockets: of others nothing is known."""
        return [table for table in tables if table in self._seen]

    def notes(self) -> list[Note]:
        """What is to be said of the captures, as far as they have been read."""
        notes = [note for capture in self.used for note in capture.notes]
        if self._asks_time_wait and all(c.format.name in OF_PROCESSES for c in self.used):
            message = (
                f"no sockets in TIME_WAIT: {self.used[0].format.title} shows those of processes, "
                "and no process has them"
            )
            notes.append(Note("time_wait_hidden", None, message))
        if self._extended is False:
            message = "the capture tells no tcp_info, memory and options"
            notes.append(Note("extended_unsupported", None, message))
        return notes


def formats() -> Iterator[Format | BinaryFormat]:
    """All known formats, those that look at more before those that look at less."""
    for name in MODULES:
        module = import_module(f"netinspect.parse.{name}")
        yield from getattr(module, "FORMATS", None) or (module.FORMAT,)


def format_names() -> tuple[str, ...]:
    """What `--format` takes."""
    return (AUTO, *(known.name for known in formats()))


def _find_format(name: str) -> Format | BinaryFormat | None:
    """The format of this name; None for `auto`.

    :raises UsageError: there is none.
    """
    if name == AUTO:
        return None
    for known in formats():
        if known.name == name:
            return known
    raise UsageError(unknown_word("format", name, format_names()))


def _recognise(head: bytes, label: str) -> Format | BinaryFormat:
    lines = _first_lines(head)
    if not lines:
        raise UsageError(
            f"{label} is empty; netstat of macOS and lsof print nothing when there are no sockets: "
            "name the tool with --format"
        )
    for known in formats():
        if isinstance(known, BinaryFormat):
            if known.recognises(head):
                return known
        elif known.recognises(lines):
            return known
    begins = decode_name(lines[0][:40].encode("utf-8", "surrogateescape"))
    raise UsageError(
        f"{label} is not what a known tool prints (it begins with '{begins}'); name the tool with "
        f"--format, one of {', '.join(format_names()[1:])}"
    )


def _first_lines(head: bytes) -> list[str]:
    return [line for line in _lines([head]) if line.strip()][:HEAD_LINES]


def _head(blocks: Iterator[bytes]) -> bytes:
    """The first bytes: enough for HEAD_LINES."""
    head = b""
    for block in blocks:
        head += block
        if head.count(b"\n") > 2 * HEAD_LINES or len(head) > MOST_HEAD:
            break
    return head


def _blocks(path: str, label: str) -> Generator[bytes, None, None]:
    """What is in the file, as it comes.

    :raises UsageError: it cannot be opened or read.
    """
    try:
        with _open(path) as file:
            while block := file.read1(BLOCK_SIZE):
                yield block
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror}") from None


def _open(path: str) -> io.BufferedReader:
    if path != STDIN:
        return open(path, "rb")
    if sys.stdin is None:  # Python's way to say that descriptor 0 was closed
        raise UsageError("stdin is closed")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _lines(blocks: Iterable[bytes]) -> Lines:
    return chain.from_iterable(_line_lists(blocks))


def _line_lists(blocks: Iterable[bytes]) -> Iterator[list[str]]:
    """The lines of each block, without their ends, of which CR LF is one."""
    decoder = None
    unfinished: list[str] = []
    for block in blocks:
        decoder = decoder or _decoder(block)
        text = decoder.decode(block)
        if "\n" not in text:
            unfinished.append(text)
            continue
        text = "".join((*unfinished, text))
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        *lines, rest = text.split("\n")
        unfinished = [rest]
        yield lines
    rest = "".join(unfinished)
    if rest:
        yield [rest.removesuffix("\r")]


def _decoder(first: bytes) -> codecs.IncrementalDecoder:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if first.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("replace")
    return codecs.getincrementaldecoder("utf-8")("surrogateescape")
