"""The columns that `-v` and `-b` add to a row of macOS's netstat, behind the state.

They changed with the releases, and the header is no guide to them (that of 26.3 is mixed up), so
they are read by the shape of each row, from its end (netstat.tproj/inet.c, network_cmds):

    A  to 10.13  131072 131072    340      0
    B  10.14-12  131072 131072    340      0 0x0102 0x00000020
    C  13-14     131072  131072    340      0 00102 00000000 00000000000f4240 00000080 00000900
                      1      0 000000
    D  15        13928   2265   131072  131600    340      0 00102 ... as C
    E  26        13928   2265   131072  131072   Comet Helper:340    00102 ... as C

`-b` alone has two numbers; before the columns of A and B it adds them too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Owner
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.captured import captured_name
from netinspect.parse.captured_socket import NOBODY_TOLD, Holder
from netinspect.parse.cells import Numbers

# state options gencnt flags flags1 usecnt rtncnt fltrs: the end of a row since macOS 13
TAIL = (
    r" [0-9a-f]{5,8} ([0-9a-f]{8}) [0-9a-f]{16} [0-9a-f]{8} [0-9a-f]{8} +-?\d+ +-?\d+ [0-9a-f]{6}"
)
TAIL_ALONE = re.compile(rf"{TAIL}$", re.ASCII)
USUAL_TAIL = 71  # its length, where no number is wider than its column
SINCE_13 = re.compile(rf"(.*){TAIL}", re.ASCII | re.DOTALL)
# rxbytes txbytes rhiwat shiwat process:pid; with -vv bytes are bytes/packets, and eprocess:epid
# stands behind. The name may hold blanks and colons, and end in a blank; it is `:340` for a process
# that has ended.
# With -d one more number stands before the cell of the process, which is 16 wide.
SINCE_26 = re.compile(
    r" *\d+ +\d+ +\d+ +\d+(?: +\d+(?=.{17,}:\d))? (.*):(\d{1,10}) *", re.ASCII | re.DOTALL
)
SINCE_26_TWICE = re.compile(
    r" *\d+/\d+ +\d+/\d+ +\d+ +\d+ (.*?):(\d{1,10})(?: .*)?", re.ASCII | re.DOTALL
)
# The same as `netinspect as macos` prints it on a system that has no such numbers
WITHOUT_NUMBERS = re.compile(
    r" *[\d-]+ +[\d-]+ +[\d-]+ +[\d-]+ (.*):(\d{1,10}|-)(?: +-){8}", re.ASCII | re.DOTALL
)
UNTIL_12 = re.compile(r"(.*) 0x[0-9a-f]{4,8} 0x([0-9a-f]{8})", re.ASCII)
# " %12llu %12llu" where 13 to 14 have " %7u %7u": a row of 26 that has lost its owner
SECOND_NUMBER = re.compile(r" *\d+( +\d+) +\d+ +\d+ *", re.ASCII)
PACKETS = re.compile(r"/\d+")  # with -vv
PIDS = Numbers("the process")
EXPECTED = "the columns of netstat -v, or nothing"


class Verbose(NamedTuple):
    """What the columns tell.

    :param options: the socket options (SO_ACCEPTCONN and so on) as bits; None where not told.
    """

    holder: Holder = NOBODY_TOLD
    options: int | None = None


NOTHING = Verbose()


def read_columns(text: str) -> Verbose:
    """What stands behind the state of a row, without blanks at its end.

    :raises CellError: it is none of the layouts.
    """
    if not text:
        return NOTHING
    start = max(len(text) - USUAL_TAIL, 0)
    if tail := TAIL_ALONE.match(text, start):  # most rows: no need to look for the tail
        return Verbose(_holder(text[:start]), int(tail[1], 16))
    if tail := SINCE_13.fullmatch(text):
        return Verbose(_holder(tail[1]), int(tail[2], 16))
    if owner := WITHOUT_NUMBERS.fullmatch(text):
        return NOTHING if owner[2] == "-" else Verbose(HOLDERS[owner[1].lstrip(" "), owner[2]])
    if tail := UNTIL_12.fullmatch(text):
        return Verbose(_holder_of(_numbers(tail[1])), int(tail[2], 16))
    numbers = _numbers(text)
    return NOTHING if len(numbers) == 2 else Verbose(_holder_of(numbers))


def _holder(before: str) -> Holder:
    """The holder, from what stands before the tail since macOS 13."""
    if ":" in before:
        owner = SINCE_26.fullmatch(before) or SINCE_26_TWICE.fullmatch(before)
        if owner is None:
            raise CellError(before.strip(" "), "rxbytes txbytes rhiwat shiwat process:pid")
        return HOLDERS[owner[1].lstrip(" "), owner[2]]
    return NOBODY_TOLD if _is_ownerless(before) else _holder_of(_numbers(before))


def _is_ownerless(before: str) -> bool:
    """Whether four numbers are those of 26 without the process, not those of 13 to 14 with it.

    The second ends 13 columns behind the first (" %12llu"), there 8 (" %7u").
    """
    second = SECOND_NUMBER.fullmatch(before)
    return second is not None and len(second[1]) >= 13


def _holder_of(numbers: list[str]) -> Holder:
    """The holder from the numbers that end in pid and epid."""
    if len(numbers) not in (4, 6, 7):  # rhiwat shiwat; rxbytes txbytes before; rxdrops between
        raise CellError(" ".join(numbers), "rhiwat shiwat pid epid")
    return HOLDERS["", str(PIDS[numbers[-2]])]


def _numbers(text: str) -> list[str]:
    numbers = PACKETS.sub("", text).split()
    for number in numbers:
        if not (number.isascii() and number.isdecimal()):
            raise CellError(number, EXPECTED)
    return numbers


class Holders(dict[tuple[str, str], Holder]):
    """The holder of a name, empty for none, and the digits of a pid, each made once."""

    def __missing__(self, told: tuple[str, str]) -> Holder:
        name, pid = told
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        owner = Owner(int(pid), captured_name(name) if name else None, None)
        holder = self[told] = Holder(owner, "known")
        return holder


HOLDERS = Holders()
