"""`python -m benchmarks`: netinspect beside ss, netstat, lsof and psutil, in a network of its own.

It works in network and process namespaces of its own: no other sockets are counted, no other
processes searched, and when the benchmark ends, the kernel ends whatever it started.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatch

from benchmarks import machine, population, report
from benchmarks.measure import MeasureError, Pair, run, run_pair
from benchmarks.namespaces import run_inside
from benchmarks.population import PopulationError
from benchmarks.questions import (
    LARGE,
    NETINSPECT,
    QUESTIONS,
    SS,
    Population,
    Question,
    select,
    sizes,
)
from benchmarks.report import Comparison

TIME_WAIT_MARGIN_S = 5


def main() -> int:
    """Measure and print; 1 when something could not be measured."""
    options = _options()
    if os.geteuid() != 0:
        return _fail("needs root: it opens sockets in a network namespace of its own")
    try:
        return run_inside(lambda: _inside(options))
    except OSError as error:
        return _fail(f"cannot make namespaces: {error.strerror}")


def _inside(options: argparse.Namespace) -> int:
    try:
        return _measure_all(options)
    except KeyboardInterrupt:
        return 130
    except (MeasureError, PopulationError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--sockets",
        type=_socket_count,
        default=LARGE,
        metavar="N",
        help=f"the largest number of sockets; more than {LARGE:,} measures growth too",
    )
    add("--only", metavar="PATTERN", help="only questions with this in their name, * and ? work")
    add("--quick", action="store_true", help="three rounds, and nothing that takes minutes")
    add("--peer", default=SS[0], metavar="PATH", help="another build of ss to compare with")
    add("--json", metavar="FILE", help="write everything, each run too, into a file")
    return parser.parse_args()


def _socket_count(text: str) -> int:
    value = int(text.replace(",", "").replace("_", ""))
    if not 4 <= value <= 2_000_000:
        raise argparse.ArgumentTypeError("expected 4 to 2,000,000")
    return value


def _measure_all(options: argparse.Namespace) -> int:
    """All of it, and the report; when interrupted, the report of what was done."""
    population.prepare_network()
    notes: list[str] = []
    questions = _chosen(options, notes)
    run((*NETINSPECT, "--version"))  # compiles what was not yet
    comparisons: list[Comparison] = []
    status = 0
    try:
        for name, size in sizes(options.sockets).items():
            asked = [q for q in questions if q.population == name]
            if asked:
                comparisons += _measure(name, size, asked, notes)
    except KeyboardInterrupt:
        notes.append("Interrupted: the rest was not measured.")
        status = 130
    _report(options, comparisons, notes)
    return status


def _report(options: argparse.Namespace, comparisons: list[Comparison], notes: list[str]) -> None:
    described = machine.describe(options.peer)
    print(report.markdown(line.cells() for line in report.lines(comparisons)))
    print(f"Measured on {machine.sentence(described)}.")
    print("Medians of whole processes run in turn; the figure is the median of the ratios of wall")
    print("time, CPU that of the ratios of processor time.")
    print("\n".join(notes))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report.document(described, comparisons, notes), file, indent=1)


def _chosen(options: argparse.Namespace, notes: list[str]) -> list[Question]:
    """What to ask, with the ss that was named, and without the peers that are not there."""
    pattern = f"*{options.only or ''}*"
    questions = select(QUESTIONS, lambda q: fnmatch(q.name, pattern), is_quick=options.quick)
    asked = [q._replace(theirs=_with_peer(q.theirs, options.peer)) for q in questions]
    missing = sorted({q.theirs[0] for q in asked if not shutil.which(q.theirs[0])})
    notes += [f"{name} is not installed: nothing is compared with it." for name in missing]
    return [q for q in asked if q.theirs[0] not in missing]


def _with_peer(command: tuple[str, ...], peer: str) -> tuple[str, ...]:
    return (peer, *command[1:]) if command[0] == SS[0] else command


def _measure(
    name: Population, size: int, questions: Sequence[Question], notes: list[str]
) -> list[Comparison]:
    """Make a population, and ask all questions about it in turn, round by round."""
    _say(f"{size:,} sockets ({name})")
    with _populated(name, size) as deadline:
        before = population.census()
        pairs = _rounds(questions, deadline, notes)
        notes += _remarks(name, size, before, population.census())
    return [Comparison(q, size, p) for q, p in zip(questions, pairs, strict=True) if p]


@contextmanager
def _populated(name: Population, size: int) -> Iterator[float]:
    """Until when the population can be measured."""
    if name in ("time-wait", "waiting"):
        make = population.half_time_wait if name == "time-wait" else population.time_wait
        with make(size) as began:
            yield began + population.TIME_WAIT_S - TIME_WAIT_MARGIN_S
        return
    with population.established(size, has_many_peers=name == "peers") if size else nullcontext():
        yield float("inf")


def _rounds(questions: Sequence[Question], deadline: float, notes: list[str]) -> list[list[Pair]]:
    """The pairs of each question, after a round to warm up. What fails is left out from then on."""
    pairs: list[list[Pair]] = [[] for _ in questions]
    failed: set[Question] = set()
    for number in range(max(q.rounds for q in questions) + 1):
        _say(f"  round {number}" if number else "  warming up")
        for question, found in zip(questions, pairs, strict=True):
            is_due = number <= question.rounds if number else not question.is_slow
            if not is_due or question in failed or time.monotonic() >= deadline:
                continue
            try:
                pair = run_pair(question.ours, question.theirs)
            except MeasureError as error:
                failed.add(question)
                notes.append(f"Not measured: {question.name} beside {question.peer}: {error}")
                continue
            if number:
                found.append(pair)
    return pairs


def _remarks(
    name: Population, size: int, before: population.Census, after: population.Census
) -> list[str]:
    """What the kernel counted before and after, where that says something."""
    if name in ("time-wait", "waiting"):
        counts = f"{before.time_wait:,} before these measurements, {after.time_wait:,} after"
        return [f"TIME_WAIT sockets: {counts}."]
    lost = before.in_use - after.in_use
    return [f"Of {size:,} sockets {lost:,} went away while they were measured."] if lost else []


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    _say(f"benchmarks: {message}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
