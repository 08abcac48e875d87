"""An expression taken apart: what the kernel tests, what the socket tells, what its owners tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from netinspect.filters.expression import fault_at_last
from netinspect.filters.selection import Test
from netinspect.filters.terms import OWNER_TERMS, UserIs, predicate
from netinspect.model import State, Table
from netinspect.query import (
    FALSE,
    TRUE,
    UNTOLD,
    Condition,
    Leaf,
    States,
    all_of,
    asked_states,
    at_tables,
    conjuncts,
    kernel_bound,
    leaves,
    negation,
    substitute,
    unknown,
)

Tables = tuple[Table, ...]
MOST_UNTOLD = 4  # each doubles the dumps
# null there: keys of the record that an expression can test
NOT_IN_TIME_WAIT = frozenset({"uid", "inode", "exposure", "rtt_ms", "retransmits_total"})
UNTOLD_WORDS = ("fwmark", "cgroup", "autobound")


def narrow(tables: Iterable[Table], condition: Condition) -> tuple[Tables, Condition]:
    """The tables that can have what meets the condition, and what is left of it for them."""
    possible = tuple(table for table in tables if at_tables(condition, (table,)) != FALSE)
    return possible, at_tables(condition, possible)


def expand(
    tables: Tables, states: frozenset[State] | None, condition: Condition, text: str
) -> Iterator[tuple[Tables, Condition]]:
    """Tables and conditions of which each part is decided by the kernel alone or by us alone.

    What only the kernel can tell, inside a part that it cannot decide, is asked for both ways:
    once as met, once as not (Shannon's expansion), and is a constant in that part then.

    :param text: the expression as it was typed.
    :raises ExpressionError: that would take too many parts.
    """
    asked = _asked_by_protocol(tables, states, condition)
    mixed: list[Condition] = []
    others: list[Condition] = []
    for part in conjuncts(condition):
        is_mixed = _untold(part) and not _is_decided(part, asked)
        (mixed if is_mixed else others).append(part)
    untold = list(dict.fromkeys(leaf for part in mixed for leaf in _untold(part)))
    if not untold:
        yield tables, condition
        return
    if len(untold) > MOST_UNTOLD:
        problem = (
            f"the expression has {len(untold)} conditions beside others that only the kernel can "
            f"test ({', '.join(UNTOLD_WORDS)}), and may have {MOST_UNTOLD}"
        )
        raise fault_at_last(UNTOLD_WORDS, text, problem)
    for values in product((True, False), repeat=len(untold)):
        met = dict(zip(untold, values, strict=True))
        rest = substitute(all_of(mixed), lambda leaf, _, met=met: _constant(leaf, met))  # type: ignore[misc]
        constants = (leaf if is_met else negation(leaf) for leaf, is_met in met.items())
        possible, whole = narrow(tables, all_of((*others, rest, *constants)))
        if possible:
            yield possible, whole


def _untold(part: Condition) -> list[Leaf]:
    return [leaf for leaf in leaves(part) if isinstance(leaf, UNTOLD)]


def _constant(leaf: Leaf, met: dict[Leaf, bool]) -> Condition:
    return unknown(met[leaf]) if leaf in met else leaf


def _asked_by_protocol(
    tables: Tables, states: frozenset[State] | None, condition: Condition
) -> dict[Tables, frozenset[State]]:
    """The states in which the kernel is asked for sockets, of the tables of each protocol.

    It may be asked of both families in one dump, for the states of both.
    """
    together = {
        tuple(table for table in tables if table.protocol == protocol)
        for protocol in {table.protocol for table in tables}
    }
    return {
        asked_for: asked_states(states, at_tables(condition, asked_for), asked_for)
        for asked_for in together
    }


def _is_decided(part: Condition, asked: dict[Tables, frozenset[State]]) -> bool:
    """Whether the kernel alone can say of all sockets of these tables whether the part holds."""
    return all(_is_decided_at(tables, at_tables(part, tables), asked[tables]) for tables in asked)


def _is_decided_at(tables: Tables, part: Condition, states: frozenset[State]) -> bool:
    if tables[0].protocol == "unix":  # it is asked for all of them, whatever their state
        return part == TRUE
    return kernel_bound(part, states, upper=True) == kernel_bound(part, states, upper=False)


def socket_tests(condition: Condition) -> Iterator[Test]:
    """Tests of what the socket tells, for each part; a part that has more to it may pass."""
    for part in conjuncts(condition):
        if not any(isinstance(leaf, UNTOLD) for leaf in leaves(part)):
            told = substitute(part, _without_owner)
            if told != TRUE:
                yield predicate(told)


def _without_owner(leaf: Leaf, upper: bool) -> Condition:
    return unknown(upper) if isinstance(leaf, OWNER_TERMS) else leaf


def may_hold_in_time_wait(condition: Condition) -> bool:
    """Whether a socket in TIME_WAIT may meet it, which has no process, no user and no inode."""

    def put(leaf: Leaf, upper: bool) -> Condition:
        if isinstance(leaf, States):
            return unknown("TIME_WAIT" in leaf.states)
        is_of_holder = isinstance(leaf, (*OWNER_TERMS, UserIs))
        is_never_met = is_of_holder or getattr(leaf, "key", None) in NOT_IN_TIME_WAIT
        return unknown(upper and not is_never_met)

    return substitute(condition, put) != FALSE


def owner_tests(condition: Condition) -> Iterator[Test]:
    """Tests of sockets that have their owners, of the parts that need them."""
    for part in conjuncts(condition):
        if any(isinstance(leaf, OWNER_TERMS) for leaf in leaves(part)):
            yield predicate(part)
