from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6
from typing import Literal, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Network, PortRange
from netinspect.parse.bytecode import Clauses, encode_clauses

Side = Literal["local", "remote"]
NOP, JMP, S_GE, S_LE, D_GE, D_LE = 0, 1, 2, 3, 4, 5
S_COND, D_COND = 7, 8


class Entry(NamedTuple):
    """struct inet_diag_entry: what the kernel tests of a socket."""

    family: int
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int


class Op(NamedTuple):
    """struct inet_diag_bc_op."""

    code: int
    yes: int
    no: int


def op_at(code: bytes, offset: int) -> Op:
    return Op(*struct.unpack_from("=BBH", code, offset))


def run(code: bytes, entry: Entry) -> bool:
    """inet_diag_bc_run() in net/ipv4/inet_diag.c."""
    offset, left = 0, len(code)
    while left > 0:
        op = op_at(code, offset)
        step = op.yes if holds(code, offset, entry) else op.no
        offset, left = offset + step, left - step
    return left == 0


def holds(code: bytes, offset: int, entry: Entry) -> bool:
    op = op_at(code, offset)
    if op.code == NOP:
        return True
    if op.code == JMP:
        return False
    if op.code in (S_COND, D_COND):
        return host_holds(code, offset + 4, entry, is_source=op.code == S_COND)
    port = entry.local_port if op.code in (S_GE, S_LE) else entry.remote_port
    limit = op_at(code, offset + 4).no
    return port >= limit if op.code in (S_GE, D_GE) else port <= limit


def host_holds(code: bytes, offset: int, entry: Entry, *, is_source: bool) -> bool:
    family, prefix_length, port = struct.unpack_from("=BBxxi", code, offset)
    wanted = code[offset + 8 :]
    if port not in (-1, entry.local_port if is_source else entry.remote_port):
        return False
    address = entry.local if is_source else entry.remote
    if family not in (0, entry.family):
        is_mapped = address[:12] == bytes(10) + b"\xff\xff"
        if (entry.family, family, is_mapped) != (AF_INET6, AF_INET, True):
            return False
        address = address[12:]
    return bits(address, prefix_length) == bits(wanted, prefix_length)


def bits(packed: bytes, count: int) -> str:
    """bitstring_match() compares the first bits, in network byte order."""
    return "".join(f"{byte:08b}" for byte in packed)[:count]


def audit(code: bytes) -> bool:
    """Whether inet_diag_bc_audit() lets the program in."""
    chain = set(yes_chain(code))
    offset = 0
    while offset < len(code):
        left = len(code) - offset
        op = op_at(code, offset)
        smallest = smallest_yes(code, offset)
        if not smallest or left < smallest:
            return False
        if op.code != NOP:
            if op.no < smallest or op.no > left + 4 or op.no & 3:
                return False
            if op.no < left and offset + op.no not in chain:
                return False
        if op.yes < smallest or op.yes > left + 4 or op.yes & 3:
            return False
        offset += op.yes
    return offset == len(code)


def smallest_yes(code: bytes, offset: int) -> int:
    """How long an operation is; 0 when it is not valid."""
    op = op_at(code, offset)
    if op.code in (NOP, JMP):
        return 4
    if op.code in (S_GE, S_LE, D_GE, D_LE):  # valid_port_comparison()
        return 8
    if op.code not in (S_COND, D_COND):
        return 0
    family, prefix_length = struct.unpack_from("=BB", code, offset + 4)  # valid_hostcond()
    address_length = {0: 0, AF_INET: 4, AF_INET6: 16}.get(family, -1)
    return 4 + 8 + address_length if 0 <= prefix_length <= 8 * address_length else 0


def yes_chain(code: bytes) -> Iterator[int]:
    """The places by which valid_cc() comes when it follows `yes` from the start."""
    offset = 0
    while offset < len(code):
        yield offset
        yes = op_at(code, offset).yes
        if yes < 4 or yes & 3:
            return
        offset += yes
    yield offset


def meets(clauses: Clauses, entry: Entry) -> bool:
    """What the program should say, as the query is described."""
    return all(any(one_holds(test, entry) for test in clause) for clause in clauses)


def one_holds(test: PortRange | Network, entry: Entry) -> bool:
    if isinstance(test, PortRange):
        port = entry.local_port if test.side == "local" else entry.remote_port
        return test.low <= port <= test.high
    packed = entry.local if test.side == "local" else entry.remote
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(packed)
    if len(test.packed) == 4 and isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped
    network = ipaddress.ip_network((test.packed, test.prefix_length), strict=False)
    return address is not None and address.version == network.version and address in network


# So few values that tests often hold.
PORTS = st.one_of(st.integers(0, 5), st.integers(65530, 65535), st.integers(0, 65535))
SIDES: st.SearchStrategy[Side] = st.sampled_from(["local", "remote"])
V4 = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "10.1.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255"]
)
V6 = st.one_of(
    st.sampled_from(["::", "::1", "2001:db8::1", "2001:db8::2", "fe80::1", "10::"]),
    st.builds("::ffff:{}".format, V4),
)
PACKED4, PACKED6 = (texts.map(lambda text: ipaddress.ip_address(text).packed) for texts in (V4, V6))
ENTRIES = st.one_of(
    st.builds(Entry, st.just(int(AF_INET)), PACKED4, PACKED4, PORTS, PORTS),
    st.builds(Entry, st.just(int(AF_INET6)), PACKED6, PACKED6, PORTS, PORTS),
)
PORT_RANGES = st.builds(
    lambda side, a, b: PortRange(side, min(a, b), max(a, b)), SIDES, PORTS, PORTS
)
NETWORKS = st.one_of(
    st.builds(Network, SIDES, PACKED4, st.integers(0, 32)),
    st.builds(Network, SIDES, PACKED6, st.integers(0, 128)),
)
CLAUSES = st.lists(
    st.lists(st.one_of(PORT_RANGES, NETWORKS), min_size=1, max_size=4).map(tuple), max_size=4
).map(tuple)


def encode(clauses: Clauses) -> bytes:
    code = encode_clauses(clauses)
    assert code is not None
    return code


@given(CLAUSES, st.lists(ENTRIES, min_size=1, max_size=10))
def test_the_kernel_selects_what_python_selects(clauses: Clauses, entries: list[Entry]) -> None:
    code = encode(clauses)
    assert [run(code, entry) for entry in entries] == [meets(clauses, entry) for entry in entries]


@given(CLAUSES)
def test_the_kernel_lets_every_program_in(clauses: Clauses) -> None:
    assert audit(encode(clauses))


def test_no_clauses_are_no_program() -> None:
    assert encode_clauses(()) == b""


def test_a_clause_without_tests_is_left_to_python() -> None:
    port: Clauses = ((PortRange("local", 1, 2),),)
    assert encode_clauses(((),)) == b""
    assert encode_clauses((*port, ())) == encode_clauses(((), *port)) == encode_clauses(port)


def test_a_port_byte_by_byte() -> None:
    assert encode_clauses(((PortRange("local", 22, 22),),)) == b"".join(
        (
            struct.pack("=BBH", S_GE, 8, 20),
            struct.pack("=BBH", 0, 0, 22),
            struct.pack("=BBH", S_LE, 8, 12),
            struct.pack("=BBH", 0, 0, 22),
        )
    )


def test_two_networks_byte_by_byte() -> None:
    clause = (Network("local", b"\x0a\0\0\0", 8), Network("remote", bytes(15) + b"\1", 128))
    assert encode_clauses((clause,)) == b"".join(
        (
            struct.pack("=BBH", S_COND, 16, 20),
            struct.pack("=BBxxi", AF_INET, 8, -1),
            b"\x0a\0\0\0",
            struct.pack("=BBH", JMP, 4, 32),
            struct.pack("=BBH", D_COND, 28, 32),
            struct.pack("=BBxxi", AF_INET6, 128, -1),
            bytes(15) + b"\1",
        )
    )


def many_ports(count: int) -> Clauses:
    """Each takes 16 bytes, and 4 more for the jump behind all but the last."""
    return (tuple(PortRange("local", 2 * n, 2 * n) for n in range(count)),)


def test_a_program_as_long_as_an_attribute_can_be() -> None:
    clauses = many_ports(3276)
    code = encode(clauses)
    assert len(code) == 3276 * 20 - 4 == 65516
    assert audit(code)
    for port, expected in ((0, True), (1, False), (6550, True), (6551, False), (65535, False)):
        assert run(code, Entry(int(AF_INET), bytes(4), bytes(4), port, 0)) == expected


def test_a_longer_program_is_none() -> None:
    assert encode_clauses(many_ports(3277)) is None


def test_the_longest_program_to_the_byte() -> None:
    """`no` has 16 bits, and the way out lies 4 bytes behind the end."""
    port, network = PortRange("local", 0, 1), Network("local", bytes(16), 0)
    longest = encode((*many_ports(3275), (port,), (port,)))
    assert len(longest) == 3275 * 20 - 4 + 2 * 16 == 65528
    assert audit(longest)
    assert 3274 * 20 - 4 + 2 * 28 == 65532
    assert encode_clauses((*many_ports(3274), (network,), (network,))) is None


def test_the_audit_here_refuses_what_the_kernel_would() -> None:
    good = encode(((PortRange("local", 1, 2), PortRange("remote", 1, 2)),))
    assert audit(good)
    assert not audit(good[:-4])
    assert not audit(struct.pack("=BBH", JMP, 4, 12))
    assert not audit(struct.pack("=BBH", 99, 4, 8))
    assert not audit(struct.pack("=BBH", S_GE, 8, 12))
    # to the middle of an operation
    assert not audit(good[:2] + struct.pack("=H", 12) + good[4:])
