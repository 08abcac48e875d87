"""`--explain-plan`: what the kernel was asked, and what is tested here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netinspect.api import Listing
from netinspect.filters.selection import Selection
from netinspect.model import Protocol, State, Table
from netinspect.parse.condition_text import condition_text
from netinspect.query import TRUE, decided_states, kernel_test

TCP: tuple[Table, ...] = (Table("tcp", "ipv4"), Table("tcp", "ipv6"))
IN_KERNEL: frozenset[Protocol] = frozenset({"tcp", "udp", "udplite", "raw"})


def plan_lines(listing: Listing, *, owners_follow: bool = False) -> Iterator[str]:
    """A line for each question that was asked, and what became of it."""
    if listing.captures:
        for capture in listing.captures.used:
            yield f"plan: {capture.label}: {capture.format.title}: all sockets"
    parts = listing.selection.expanded()
    if not parts:
        yield "plan: nothing is asked: no socket can meet the expression"
    for number, part in enumerate(parts, start=1):
        if len(parts) > 1:
            yield f"plan: part {number} of {len(parts)}"
        for tables in () if listing.captures else _dumps(part.tables):
            yield from _dump_lines(listing, part, tables)
        yield f"plan: tested here: {_tested_here(part)}"
    if owners_follow and not listing.looks_for_owners:
        yield "plan: owners are looked for of some of them"
    else:
        yield f"plan: owners are {'' if listing.looks_for_owners else 'not '}looked for"


def _dumps(tables: tuple[Table, ...]) -> Iterator[tuple[Table, ...]]:
    """What is asked for together: both families of TCP."""
    has_both = set(TCP) <= set(tables)
    if has_both:
        yield TCP
    for table in tables:
        if not has_both or table not in TCP:
            yield (table,)


def _dump_lines(listing: Listing, part: Selection, tables: tuple[Table, ...]) -> Iterator[str]:
    names = ", ".join(_name(table) for table in tables)
    source = listing.source_of(tables[0])
    if source is None:
        yield f"plan: {names}: cannot be read"
        return
    if source.name != "sock_diag" or tables[0].protocol not in IN_KERNEL:
        yield f"plan: {names}: {source.name}: all sockets"
        return
    test = kernel_test(part.query(), tables)
    condition = "no condition" if test.condition == TRUE else condition_text(test.condition)
    yield f"plan: {names}: {source.name}: {_states(test.states)}; {condition}"
    if tables in getattr(source, "halved", ()):
        yield f"plan: {names}: counted by two processes at once, parted by ports"
    refusal = getattr(source, "refusals", {}).get(tables)
    if refusal:
        yield f"plan: {names}: the condition was not taken, so all sockets were read: {refusal}"
    elif part.socket_test() and part.is_all_asked and decided_states(part.query(), tables):
        yield f"plan: {names}: of what has a peer the kernel decides"


def _name(table: Table) -> str:
    return "unix" if table.family == "unix" else f"{table.protocol}{table.family[-1]}"


def _states(states: Iterable[State] | None) -> str:
    if states is None:
        return "all states"
    return f"states {' '.join(sorted(s.lower().replace('_', '-') for s in states)) or '(none)'}"


def _tested_here(part: Selection) -> str:
    tests = []
    if part.socket_test():
        tests.append("what the socket tells")
    if part.owner_test():
        tests.append("who holds it")
    return ", then ".join(tests) or "nothing"
