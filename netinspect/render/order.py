"""Sorting and limiting of a listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netinspect.model import Connection
    from netinspect.render.columns import Column


class SortKey(NamedTuple):
    """Order by this column."""

    column: Column
    is_descending: bool


def parse_sort(words: Iterable[str]) -> list[SortKey]:
    """`recv_q` for the smallest first, `-recv_q` for the largest.

    :raises UsageError: there is no such column.
    """
    from netinspect.render.columns import find_column

    return [
        SortKey(find_column(word.removeprefix("-")), is_descending=word.startswith("-"))
        for word in words
    ]


def arrange(
    batches: Iterable[list[Connection]], keys: list[SortKey], limit: int | None
) -> Iterator[list[Connection]]:
    """The sockets in this order, and no more than the limit. Without keys nothing is held."""
    ordered = iter([_sorted(batches, keys)]) if keys else iter(batches)
    return ordered if limit is None else _limited(ordered, limit)


def _sorted(batches: Iterable[list[Connection]], keys: list[SortKey]) -> list[Connection]:
    """Sorting by the last key first: Python's sort keeps the order of equals."""
    from netinspect.render.columns import sort_key

    connections = [c for batch in batches for c in batch]
    for column, is_descending in reversed(keys):
        order = sort_key(column)
        known = [c for c in connections if not order(c)[0]]
        unknown = [c for c in connections if order(c)[0]]
        known.sort(key=order, reverse=is_descending)
        connections = known + unknown
    return connections


def _limited(batches: Iterator[list[Connection]], limit: int) -> Iterator[list[Connection]]:
    while limit > 0 and (connections := next(batches, None)) is not None:
        yield connections[:limit]
        limit -= len(connections)
