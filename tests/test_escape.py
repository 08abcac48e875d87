from __future__ import annotations

import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import decode_name
from netinspect.render.escape import (
    UNSAFE_IN_CELL,
    UNSAFE_IN_JSON,
    display_width,
    escape_cell,
    escape_json,
    shorten,
)

UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Default_Ignorable_Code_Point: all of it, from DerivedCoreProperties.txt of Unicode 16
IGNORABLE = frozenset(
    (
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F)),
        *(*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9)),
        *(*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
    )
)
EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))


def is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in UNSAFE_CATEGORIES or ord(character) in IGNORABLE


def is_known_to_this_python(character: str) -> bool:
    """What a later Unicode assigns may be in the set already."""
    return unicodedata.category(character) != "Cn" or ord(character) in IGNORABLE


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        pytest.param(UNSAFE_IN_CELL, "", id="cell"),
        pytest.param(UNSAFE_IN_JSON, "\n", id="json, where only line ends stay"),
    ],
)
def test_the_unsafe_characters_are_those_of_unicode(pattern: str, kept: str) -> None:
    found = set(filter(is_known_to_this_python, re.findall(pattern, EVERY_CHARACTER)))
    assert found == set(filter(is_unsafe, EVERY_CHARACTER)) - set(kept)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nginx", "nginx", id="nothing to do"),
        pytest.param("", "", id="empty"),
        pytest.param("  a b  ", r"  a b\x20\x20", id="blanks at the end"),
        pytest.param("a\x1b[2Jb", r"a\x1b[2Jb", id="ASCII control"),
        pytest.param("\t\r\n\x7f", r"\x09\x0d\x0a\x7f", id="tab, line ends, DEL"),
        pytest.param("\x9b\x85", r"\u009b\u0085", id="C1"),
        pytest.param("\u202e\u200b\ufeff", r"\u202e\u200b\ufeff", id="bidi, zero-width"),
        pytest.param("\u2028\u2029", r"\u2028\u2029", id="line separators"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag, beyond 16 bits"),
        pytest.param("\udcff", r"\udcff", id="lone surrogate"),
        pytest.param(
            "caf\xe9 \u65e5\u672c \U0001f600", "caf\xe9 \u65e5\u672c \U0001f600", id="text"
        ),
        pytest.param("a\\b", "a\\b", id="a backslash, which the record has doubled"),
    ],
)
def test_cell(text: str, expected: str) -> None:
    assert escape_cell(text) == expected


def test_a_bad_byte_and_a_control_character_with_its_number_stay_distinct() -> None:
    assert escape_cell(decode_name(b"\x9b")) == r"\x9b"
    assert escape_cell(decode_name("\x9b".encode())) == r"\u009b"


@given(st.binary(), st.binary())
def test_distinct_names_have_distinct_cells(one: bytes, other: bytes) -> None:
    cells = {escape_cell(decode_name(one)), escape_cell(decode_name(other))}
    assert len(cells) == len({one, other})


@given(st.binary())
def test_a_cell_has_nothing_unsafe(name: bytes) -> None:
    assert not any(map(is_unsafe, escape_cell(decode_name(name))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"a":"\x7f"}\n', '{"a":"\\u007f"}\n', id="DEL, and the line end stays"),
        pytest.param('"\u202e"', '"\\u202e"', id="bidi"),
        pytest.param('"\U000e0041"', '"\\udb40\\udc41"', id="a surrogate pair"),
        pytest.param('"\\u001b \\\\ \xe9"', '"\\u001b \\\\ \xe9"', id="what JSON escaped itself"),
    ],
)
def test_json(text: str, expected: str) -> None:
    assert escape_json(text) == expected


@given(st.lists(st.text()))
def test_escaped_json_is_the_same_json(value: list[str]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    escaped = escape_json(text)
    assert json.loads(escaped) == value
    assert not any(map(is_unsafe, escaped))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nginx", 5, id="ASCII"),
        pytest.param("caf\xe9", 4, id="Latin"),
        pytest.param("\u65e5\u672c", 4, id="wide"),
        pytest.param("\uff21", 2, id="full width"),
        pytest.param("\U0001f600", 2, id="emoji"),
        pytest.param("e\u0301", 1, id="combining accent"),
        pytest.param("\u0e01\u0e31", 1, id="Thai vowel sign, of combining class 0"),
        pytest.param("\u1112\u1161\u11ab", 2, id="Hangul in parts"),
        pytest.param("\u2026", 1, id="ambiguous"),
    ],
)
def test_width(text: str, expected: int) -> None:
    assert display_width(text) == expected


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (6, "日本語"),
        (5, "日本…"),
        (4, "日…"),
        (3, "日…"),
        (2, "…"),
        (1, "…"),
    ],
)
def test_shorten_counts_places_not_characters(width: int, expected: str) -> None:
    assert shorten("日本語", width) == expected


@given(st.text(), st.integers(1, 30))
def test_shortened_text_fits_and_is_a_beginning(text: str, width: int) -> None:
    short = shorten(text, width)
    assert display_width(short) <= width
    assert short == text or text.startswith(short.removesuffix("…"))
