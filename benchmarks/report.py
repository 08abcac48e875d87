"""Measurements to lines: figure, target, met or not. No measuring here, and no printing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any, Literal, NamedTuple

from benchmarks.measure import Pair, cpu_ratio, wall_ratio
from benchmarks.questions import DEFAULT_SIZES, DESCRIPTIONS, GROWTH, PYTHON, Question

HEAD = ("question", "sockets", "netinspect", "compared with", "figure", "CPU", "target", "met")
TO_RIGHT = (False, True, True, False, True, True, True, False)

Unit = Literal["x", "ms", "MB"]


class Comparison(NamedTuple):
    """A question and the pairs of runs that answer it."""

    question: Question
    sockets: int
    pairs: list[Pair]

    @property
    def has_target(self) -> bool:
        """Targets are for one size."""
        return self.sockets == DEFAULT_SIZES[self.question.population]


class Line(NamedTuple):
    """One figure. `cpu_ratio` is what `figure` would be with processor time for wall time."""

    question: str
    sockets: str
    ours: str
    theirs: str
    figure: float
    unit: Unit
    target: float | None
    cpu_ratio: float | None = None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.figure <= self.target

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEAD`."""
        met = {None: "", True: "yes", False: "**no**"}[self.is_met]
        target = "" if self.target is None else f"≤ {quantity(self.target, self.unit)}"
        figure = quantity(self.figure, self.unit)
        cpu = "" if self.cpu_ratio is None else quantity(self.cpu_ratio, "x")
        return (self.question, self.sockets, self.ours, self.theirs, figure, cpu, target, met)


def quantity(value: float, unit: Unit) -> str:
    """`0.081`, `0.97`, `5.5`, `58 ms`, `21 MB`."""
    if unit != "x":
        return f"{value:.0f} {unit}"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def lines(comparisons: list[Comparison]) -> list[Line]:
    """Every figure: ratios and start-up, then growth, then memory."""
    return [
        *(line for c in comparisons for line in _times(c)),
        *_growth(comparisons),
        *_memory(comparisons),
    ]


def _times(comparison: Comparison) -> Iterator[Line]:
    question, _, pairs = comparison
    target = question.target if comparison.has_target else None
    if question.is_difference:
        yield from _differences(comparison, target)
        return
    yield Line(
        question.name,
        _size(comparison),
        _seconds(median(pair.ours.wall_s for pair in pairs)),
        f"`{question.peer}` {_seconds(median(pair.theirs.wall_s for pair in pairs))}",
        wall_ratio(pairs),
        "x",
        target,
        cpu_ratio(pairs),
    )


def _differences(comparison: Comparison, target: float | None) -> Iterator[Line]:
    """CPU time beyond the other command's: the median pair, and the least of each."""
    question, _, pairs = comparison
    ours, theirs = ([run.cpu_s * 1000 for run in side] for side in zip(*pairs, strict=True))
    excess = median(a - b for a, b in zip(ours, theirs, strict=True))
    for label, a, b, figure in (
        ("median", median(ours), median(theirs), excess),
        ("least", min(ours), min(theirs), min(ours) - min(theirs)),
    ):
        yield Line(
            f"{question.name}, CPU, {label}",
            _size(comparison),
            quantity(a, "ms"),
            f"`{question.peer}` {quantity(b, 'ms')}",
            figure,
            "ms",
            target,
        )


def _growth(comparisons: list[Comparison]) -> Iterator[Line]:
    """The same commands on the large and on the huge population."""
    for huge in comparisons:
        large = next((c for c in comparisons if _is_smaller(c, huge)), None)
        if large is None:
            continue
        (ours_s, grown_s), (theirs_s, theirs_grown_s) = (
            [median(pair[side].wall_s for pair in c.pairs) for c in (large, huge)]
            for side in (0, 1)
        )
        has_target = large.has_target and huge.has_target
        yield Line(
            f"growth, {huge.question.name}",
            f"{large.sockets:,} to {huge.sockets:,}",
            f"{_seconds(ours_s)} to {_seconds(grown_s)}",
            f"`{huge.question.peer}` {quantity(theirs_grown_s / theirs_s, 'x')}",
            grown_s / ours_s,
            "x",
            GROWTH if has_target else None,
        )


def _is_smaller(large: Comparison, huge: Comparison) -> bool:
    commands = [(c.question.population, c.question.ours, c.question.theirs) for c in (large, huge)]
    return commands == [("large", *commands[0][1:]), ("huge", *commands[0][1:])]


def _memory(comparisons: list[Comparison]) -> Iterator[Line]:
    """The most that each command of ours took in any run."""
    told = set()
    for comparison in comparisons:
        question = comparison.question
        key = (question.population, question.ours)
        if question.memory_target_mb is None or key in told:
            continue
        told.add(key)
        figure = max(pair.ours.peak_mb for pair in comparison.pairs)
        target = question.memory_target_mb if comparison.has_target else None
        name = f"peak memory, {question.name}"
        yield Line(name, _size(comparison), quantity(figure, "MB"), "", figure, "MB", target)


def _size(comparison: Comparison) -> str:
    description = DESCRIPTIONS.get(comparison.question.population)
    return f"{comparison.sockets:,}" + (f", {description}" if description else "")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """A table whose source is aligned too."""
    rows = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, TO_RIGHT, strict=True)
    ]
    return "".join(
        f"| {' | '.join(row)} |\n" for row in _aligned([rows[0], rule, *rows[1:]], widths)
    )


def _aligned(rows: Iterable[Iterable[str]], widths: list[int]) -> Iterator[list[str]]:
    for row in rows:
        yield [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, TO_RIGHT, strict=True)
        ]


def document(
    machine: dict[str, str], comparisons: list[Comparison], notes: list[str]
) -> dict[str, Any]:
    """All of it for a program: every run too."""
    return {
        "machine": machine,
        "notes": notes,
        "lines": [{**line._asdict(), "is_met": line.is_met} for line in lines(comparisons)],
        "comparisons": [_comparison_document(comparison) for comparison in comparisons],
    }


def _comparison_document(comparison: Comparison) -> dict[str, Any]:
    question, sockets, pairs = comparison
    return {
        "question": question.name,
        "population": question.population,
        "sockets": sockets,
        "ours": " ".join(question.ours).replace(PYTHON, "python"),
        "theirs": question.peer,
        "wall_ratio": wall_ratio(pairs),
        "cpu_ratio": cpu_ratio(pairs),
        "runs": [{"ours": p.ours._asdict(), "theirs": p.theirs._asdict()} for p in pairs],
    }
