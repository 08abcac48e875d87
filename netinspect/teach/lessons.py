"""What each rule of diagnose is about: data/lessons.json, read when it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from netinspect.teach.knowledge import read_table


class RuleLesson(msgspec.Struct, frozen=True):
    """What there is to know about a fault."""

    meaning: tuple[str, ...]
    advice: tuple[str, ...]
    avoid: tuple[str, ...]
    references: tuple[str, ...]


@cache
def load_lessons() -> Mapping[str, RuleLesson]:
    """The lessons by the code of their rule."""
    return read_table("lessons", dict[str, RuleLesson])
