"""The order of groups, and the largest of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netinspect.addresses import address_order
from netinspect.grouping.keys import Grouping, SortKey
from netinspect.grouping.record import MEASURES, Group, LeftOut

# Without other wishes: the largest first, groups of one size by the values of their keys.
LARGEST_FIRST = SortKey("count", is_descending=True)


def arrange(groups: Iterable[Group], grouping: Grouping) -> list[Group]:
    """The groups in the order of `--sort`; what is not known stands last."""
    arranged = list(groups)
    # By the last key first: Python's sort keeps the order of equals.
    keys = [SortKey(name, is_descending=False) for name in grouping.keys]
    for key in reversed([*grouping.sort, LARGEST_FIRST, *keys]):
        arranged = _sorted(arranged, key)
    return arranged


def _sorted(groups: list[Group], key: SortKey) -> list[Group]:
    known = [group for group in groups if getattr(group, key.name) is not None]
    unknown = [group for group in groups if getattr(group, key.name) is None]
    known.sort(key=lambda group: _order(group, key.name), reverse=key.is_descending)
    return known + unknown


def _order(group: Group, name: str) -> Any:
    value = getattr(group, name)
    return address_order(value) if name.endswith("_address") else value


def take_largest(groups: list[Group], grouping: Grouping) -> tuple[list[Group], LeftOut]:
    """As many as `--top` says, still in their order, and what is left out.

    Large is what has much of the first measure of `--sort`, or many sockets without one, in
    whatever direction they are sorted.
    """
    if grouping.top is None:
        return groups, LeftOut(0, 0)
    measure = next((key.name for key in grouping.sort if key.name in MEASURES), "count")
    sizes = [getattr(group, measure) for group in groups]
    largest_first = sorted(
        range(len(groups)), key=lambda i: -1 if sizes[i] is None else sizes[i], reverse=True
    )
    kept = sorted(largest_first[: grouping.top])
    left_out = sum(group.count for group in groups) - sum(groups[i].count for i in kept)
    return [groups[i] for i in kept], LeftOut(len(groups) - len(kept), left_out)
