"""What to group by, and how the groups are ordered: the words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netinspect.errors import UsageError, unknown_word
from netinspect.grouping.record import KEYS, MEASURES

# What the process itself has to be asked for
DETAIL_KEYS = frozenset({"unit", "container", "runtime"})
# Of these a socket has one for each process that holds it.
OWNER_KEYS = DETAIL_KEYS | {"pid", "process", "owner_status"}
# One process of each socket is not enough for these.
HOLDER_KEYS = DETAIL_KEYS | {"owner_status", "uid", "user"}
# Columns of a listing that join several keys
SHORT = {
    "proto": ("protocol", "family"),
    "local": ("local_address", "local_port"),
    "remote": ("remote_address", "remote_port"),
}
KEY_WORDS = (*KEYS, *SHORT)


class SortKey(NamedTuple):
    """Order by this key or measure."""

    name: str
    is_descending: bool


class Grouping(NamedTuple):
    """How sockets are grouped, and which groups are shown in what order."""

    by: tuple[str, ...]
    sort: tuple[SortKey, ...] = ()
    top: int | None = None

    @property
    def needs_owners(self) -> bool:
        """Whether a key of it is known only when owners have been looked for."""
        return not OWNER_KEYS.isdisjoint(self.by)

    @property
    def needs_holders(self) -> bool:
        """Whether a key of it takes the user of a socket, or all of its processes."""
        return not HOLDER_KEYS.isdisjoint(self.by)

    @property
    def needs_details(self) -> bool:
        """Whether the processes themselves have to be looked at."""
        return not DETAIL_KEYS.isdisjoint(self.by)

    @property
    def needs_direction(self) -> bool:
        """Whether listeners have to be read, to know who began a connection."""
        return "direction" in self.by

    @property
    def needs_extended(self) -> bool:
        """Whether a key of it is among what `--extended` adds to a socket."""
        return "cgroup" in self.by

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a group: where an owner is null, its status says why."""
        why = ("owner_status",) if self.needs_owners else ()
        return tuple(dict.fromkeys((*self.by, *why)))


def parse_grouping(by: Iterable[str], sort: Iterable[str] = (), top: int | None = None) -> Grouping:
    """The grouping that these words describe: `process`, `remote-address`, `remote`; `-recv_q`.

    :raises UsageError: a word is no key; there is none; `top` is less than 1.
    """
    keys = tuple(dict.fromkeys(key for word in by for key in _parse_key(word)))
    if not keys:
        raise UsageError(f"nothing to group by; expected one of {', '.join(KEY_WORDS)}")
    if top is not None and top < 1:
        raise UsageError(f"top {top}: expected at least 1 group")
    return Grouping(keys, tuple(_parse_sort(word, keys) for word in sort), top)


def _parse_key(word: str) -> tuple[str, ...]:
    name = _spelling(word)
    if name not in KEY_WORDS:
        raise UsageError(unknown_word("key", word, KEY_WORDS))
    return SHORT.get(name, (name,))


def _parse_sort(word: str, by: tuple[str, ...]) -> SortKey:
    name = _spelling(word.removeprefix("-"))
    if name not in (*by, *MEASURES):
        raise UsageError(unknown_word("key of a group", word.removeprefix("-"), (*by, *MEASURES)))
    return SortKey(name, is_descending=word.startswith("-"))


def _spelling(word: str) -> str:
    return word.casefold().replace("-", "_")
