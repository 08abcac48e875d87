"""Tests that the kernel makes itself: inet_diag bytecode (net/ipv4/inet_diag.c).

An operation names how far to go when its test holds (`yes`) and when it does not (`no`). A socket
is selected when the end is reached exactly; one step of 4 bytes past the end rejects it.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import NamedTuple

from netinspect.model import Network, PortRange

JMP = 1
S_GE, S_LE, D_GE, D_LE = 2, 3, 4, 5
S_COND, D_COND = 7, 8

# struct inet_diag_bc_op: code, yes, no
#   02 08 1400
OPERATION = Struct("=BBH")
# struct inet_diag_hostcond: family, prefix length, port (-1: any), then the address
#   02 08 0000 ffffffff 7f000000
HOST = Struct("=BBxxi")
REJECT = -1
# `no` has 16 bits: https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/inet_diag.h#L96
LONGEST = 0xFFFF - OPERATION.size

Clauses = tuple[tuple[PortRange | Network, ...], ...]


class Operation(NamedTuple):
    """One operation; `target` is the index of the operation to go on with when it does not hold."""

    code: int
    payload: bytes
    target: int

    @property
    def size(self) -> int:
        """Bytes, with what belongs to it."""
        return OPERATION.size + len(self.payload)


def encode_clauses(clauses: Clauses) -> bytes | None:
    """Bytecode that selects what meets every clause; None when it would be too long."""
    program: list[Operation] = []
    for clause in clauses:
        program += _any_of(clause, start=len(program))
    size = sum(operation.size for operation in program)
    return _encode(program, size) if size <= LONGEST else None


def _any_of(clause: tuple[PortRange | Network, ...], start: int) -> list[Operation]:
    """Each alternative but the last: when it fails go to the next, else jump behind them all.

    A clause without alternatives, which nothing meets, is left to be tested later.
    """
    alternatives = [_operations(test) for test in clause]
    end = start + sum(len(operations) + 1 for operations in alternatives) - 1
    program: list[Operation] = []
    for operations in alternatives[:-1]:
        following = start + len(program) + len(operations) + 1
        program += [operation._replace(target=following) for operation in operations]
        program.append(Operation(JMP, b"", end))
    return program + alternatives[-1] if alternatives else []


def _operations(test: PortRange | Network) -> list[Operation]:
    """The operations of one test, in conjunction."""
    if isinstance(test, Network):
        code = S_COND if test.side == "local" else D_COND
        family = AF_INET if len(test.packed) == 4 else AF_INET6
        host = HOST.pack(family, test.prefix_length, -1) + test.packed
        return [Operation(code, host, REJECT)]
    at_least, at_most = (S_GE, S_LE) if test.side == "local" else (D_GE, D_LE)
    # the port stands in the `no` field of an operation of its own
    return [
        Operation(at_least, OPERATION.pack(0, 0, test.low), REJECT),
        Operation(at_most, OPERATION.pack(0, 0, test.high), REJECT),
    ]


def _encode(program: list[Operation], size: int) -> bytes:
    offsets = list(_offsets(program))
    return b"".join(
        _encode_operation(operation, offset, offsets, size)
        for operation, offset in zip(program, offsets, strict=False)
    )


def _offsets(program: Iterable[Operation]) -> Iterable[int]:
    """Where each operation begins and, last, where the program ends."""
    offset = 0
    for operation in program:
        yield offset
        offset += operation.size
    yield offset


def _encode_operation(operation: Operation, offset: int, offsets: list[int], size: int) -> bytes:
    target = size + OPERATION.size if operation.target == REJECT else offsets[operation.target]
    # The kernel checks a program by following `yes`, so `yes` is always the next operation.
    return OPERATION.pack(operation.code, operation.size, target - offset) + operation.payload
