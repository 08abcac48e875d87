"""Tests that the kernel makes itself: inet_diag bytecode (net/ipv4/inet_diag.c).

An operation names how far to go when its test holds (`yes`) and when it does not (`no`). A socket
is selected when the end is reached exactly; one step of 4 bytes past the end rejects it.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import Any, NamedTuple

from netinspect.query import (
    AllOf,
    AnyOf,
    Autobound,
    CgroupId,
    Condition,
    Device,
    Mark,
    Network,
    Not,
    PortRange,
)

JMP = 1
S_GE, S_LE, D_GE, D_LE = 2, 3, 4, 5
AUTO = 6
S_COND, D_COND = 7, 8
DEV_COND, MARK_COND, CGROUP_COND = 9, 10, 13

# struct inet_diag_bc_op: code, yes, no
#   02 08 1400
OPERATION = Struct("=BBH")
# struct inet_diag_hostcond: family, prefix length, port (-1: any), then the address
#   02 08 0000 ffffffff 7f000000
HOST = Struct("=BBxxi")
U32, U64 = Struct("=I"), Struct("=Q")
# struct inet_diag_markcond: mark, mask
#   01000000 ff000000
MARK = Struct("=II")
# `no` has 16 bits: https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/inet_diag.h#L96
LONGEST = 0xFFFF - OPERATION.size


class Label:
    """A place in the program: the number of an operation, known when that is written."""

    index = -1


class Operation(NamedTuple):
    """One operation; where its test does not hold, the program goes on at `target`."""

    code: int
    payload: bytes
    target: Label

    @property
    def size(self) -> int:
        """Bytes, with what belongs to it."""
        return OPERATION.size + len(self.payload)


def encode_condition(condition: Condition) -> bytes | None:
    """Bytecode that selects what meets the condition; None when it would be too long.

    :param condition: of what the kernel can test: no States, InTables or Cgroup, no zone.
    """
    program = Program()
    program.add(condition, program.end, program.rejected, program.end)
    size = sum(operation.size for operation in program.operations)
    return program.encode(size) if size <= LONGEST else None


class Program:
    """Operations as they are written, one after the other."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.end, self.rejected = Label(), Label()

    def add(self, condition: Condition, holds: Label, fails: Label, following: Label) -> None:
        """Write what goes to one of two labels; `following` is where the writing goes on."""
        if isinstance(condition, Not):
            self.add(condition.part, fails, holds, following)
        elif isinstance(condition, AllOf):
            for part in condition.parts[:-1]:
                self._add_and_place(part, None, fails)
            self._add_last(condition.parts, holds, holds, fails, following)
        elif isinstance(condition, AnyOf):
            for part in condition.parts[:-1]:
                self._add_and_place(part, holds, None)
            self._add_last(condition.parts, fails, holds, fails, following)
        else:
            for code, payload in OPERATIONS[type(condition)](condition):
                self.operations.append(Operation(code, payload, fails))
            self._jump(holds, following)

    def _add_and_place(self, part: Condition, holds: Label | None, fails: Label | None) -> None:
        """Write a part behind which the next one stands, in the place of the None."""
        behind = Label()
        self.add(part, holds or behind, fails or behind, behind)
        behind.index = len(self.operations)

    def _add_last(
        self,
        parts: tuple[Condition, ...],
        empty: Label,
        holds: Label,
        fails: Label,
        following: Label,
    ) -> None:
        if parts:
            self.add(parts[-1], holds, fails, following)
        else:
            self._jump(empty, following)

    def _jump(self, target: Label, following: Label) -> None:
        if target is not following:
            self.operations.append(Operation(JMP, b"", target))

    def encode(self, size: int) -> bytes:
        """The bytes, with the distances between the labels."""
        offsets = [0]
        for operation in self.operations:
            offsets.append(offsets[-1] + operation.size)
        self.end.index = len(self.operations)
        self.rejected.index = self.end.index + 1
        offsets.append(size + OPERATION.size)
        # The kernel checks a program by following `yes`, so `yes` is always the next operation.
        return b"".join(
            OPERATION.pack(o.code, o.size, offsets[o.target.index] - offset) + o.payload
            for o, offset in zip(self.operations, offsets, strict=False)
        )


Encoded = tuple[tuple[int, bytes], ...]


def _port_operations(test: PortRange) -> Encoded:
    at_least, at_most = (S_GE, S_LE) if test.side == "local" else (D_GE, D_LE)
    # the port stands in the `no` field of an operation of its own
    return (
        (at_least, OPERATION.pack(0, 0, test.low)),
        (at_most, OPERATION.pack(0, 0, test.high)),
    )


def _host_operations(test: Network) -> Encoded:
    code = S_COND if test.side == "local" else D_COND
    family = AF_INET if len(test.packed) == 4 else AF_INET6
    return ((code, HOST.pack(family, test.prefix_length, -1) + test.packed),)


# Of one test all operations must hold.
OPERATIONS: dict[type, Callable[[Any], Encoded]] = {
    PortRange: _port_operations,
    Network: _host_operations,
    Device: lambda test: ((DEV_COND, U32.pack(test.index)),),
    Mark: lambda test: ((MARK_COND, MARK.pack(test.value, test.mask)),),
    CgroupId: lambda test: ((CGROUP_COND, U64.pack(test.number)),),
    Autobound: lambda _: ((AUTO, b""),),
}
