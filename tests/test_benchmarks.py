"""The arithmetic and the words of the benchmarks, and a tiny run. Nothing here depends on time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.measure import MeasureError, Pair, Run, cpu_ratio, run, wall_ratio
from benchmarks.population import Share, shares
from benchmarks.questions import (
    IMPORT_CLICK,
    NDJSON,
    QUESTIONS,
    SS,
    TABLE,
    Population,
    Question,
    select,
    sizes,
)
from benchmarks.report import Comparison, Line
from tests.namespace import why_not

ROOT = Path(__file__).resolve().parent.parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks are for Linux")


def pair(ours_s: float, theirs_s: float, peak_mb: float = 20) -> Pair:
    return Pair(Run(ours_s, ours_s / 2, peak_mb, 5), Run(theirs_s, theirs_s, 3, 6))


def comparison(
    population: Population = "large",
    sockets: int = 200_000,
    pairs: tuple[Pair, ...] = (pair(1, 2),),
    **kind: bool,
) -> Comparison:
    question = Question("table", population, TABLE, SS, 1.0, 40, **kind)
    return Comparison(question, sockets, list(pairs))


def test_ratio_is_the_median_of_the_ratios() -> None:
    pairs = [pair(1, 1), pair(1, 4), pair(8, 2)]
    assert wall_ratio(pairs) == 1
    assert cpu_ratio(pairs) == 0.5


def test_line_of_a_comparison() -> None:
    pairs = (pair(0.5, 2, 21), pair(1, 2, 22), pair(1.5, 2, 20))
    time, memory = report.lines([comparison(pairs=pairs)])
    assert time == Line("table", "200,000", "1.00 s", "`ss -tan` 2.00 s", 0.5, "x", 1.0, 0.25)
    assert memory == Line("peak memory, table", "200,000", "22 MB", "", 22, "MB", 40)
    assert time.is_met
    assert memory.cells() == (
        *("peak memory, table", "200,000", "22 MB"),
        *("", "22 MB", "", "≤ 40 MB", "yes"),
    )


def test_target_missed() -> None:
    line, _ = report.lines([comparison(pairs=(pair(2, 1),))])
    assert line.is_met is False
    assert line.cells()[-4:] == ("2.00", "1.00", "≤ 1.00", "**no**")


def test_target_is_for_one_size() -> None:
    line, memory = report.lines([comparison(sockets=100)])
    assert line.is_met is memory.is_met is None
    assert line.cells()[-2:] == ("", "")


def test_population_is_named() -> None:
    line, _ = report.lines([comparison("time-wait")])
    assert line.sockets == "200,000, half of them TIME_WAIT"


def test_start_up_is_a_difference_of_processor_time() -> None:
    pairs = [pair(0.3, 0.1), pair(0.2, 0.05), pair(0.4, 0.1)]
    question = Question("start-up", "empty", TABLE, IMPORT_CLICK, 60, is_difference=True)
    middle, least = report.lines([Comparison(question, 0, pairs)])
    assert (middle.question, round(middle.figure), middle.unit) == (
        "start-up, CPU, median",
        50,
        "ms",
    )
    assert (least.ours, least.theirs) == ("100 ms", "`python -c import click` 50 ms")
    assert least.is_met


def test_growth_compares_the_same_command() -> None:
    large = comparison(pairs=(pair(2, 1),))
    huge = comparison("huge", 1_000_000, (pair(9, 6),))
    growth = next(line for line in report.lines([large, huge]) if line.question.startswith("grow"))
    assert growth.cells() == (
        *("growth, table", "200,000 to 1,000,000", "2.00 s to 9.00 s"),
        *("`ss -tan` 6.00", "4.50", "", "≤ 5.50", "yes"),
    )


def test_memory_of_a_command_is_told_once() -> None:
    twice = [comparison(), comparison()]
    assert sum(line.unit == "MB" for line in report.lines(twice)) == 1


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0812, "x", "0.081"), (0.974, "x", "0.97"), (57.6, "ms", "58 ms"), (21.2, "MB", "21 MB")],
)
def test_quantity(value: float, unit: report.Unit, text: str) -> None:
    assert report.quantity(value, unit) == text


def test_markdown_is_aligned() -> None:
    table = report.markdown([("table", "10", "1 s", "`ss`", "0.5", "0.7", "", "")])
    assert table == (
        "| question | sockets | netinspect | compared with | figure | CPU | target | met |\n"
        "| -------- | ------: | ---------: | ------------- | -----: | --: | -----: | --- |\n"
        "| table    |      10 |        1 s | `ss`          |    0.5 | 0.7 |        |     |\n"
    )


def test_document_has_every_run_and_no_path() -> None:
    document = json.loads(json.dumps(report.document({"kernel": "Linux"}, [comparison()], [])))
    assert document["lines"][0]["is_met"] is True
    (told,) = document["comparisons"]
    assert told["ours"] == "python -m netinspect list --proto tcp --no-owners"
    assert told["runs"] == [
        {
            "ours": {"wall_s": 1, "cpu_s": 0.5, "peak_mb": 20, "lines": 5},
            "theirs": {"wall_s": 2, "cpu_s": 2, "peak_mb": 3, "lines": 6},
        }
    ]


def test_sizes_by_default_and_on_request() -> None:
    assert sizes(200_000) == {
        "empty": 0,
        "thousand": 1_000,
        "ten thousand": 10_000,
        "large": 200_000,
        "peers": 200_000,
        "time-wait": 200_000,
        "waiting": 100_000,
    }
    assert list(sizes(1_000_000).items())[-3:] == [
        ("huge", 1_000_000),
        ("time-wait", 200_000),
        ("waiting", 100_000),
    ]
    assert sizes(100) == {
        "empty": 0,
        "large": 100,
        "peers": 100,
        "time-wait": 100,
        "waiting": 100,
    }


def test_quick_leaves_out_what_is_slow() -> None:
    quick = select(QUESTIONS, lambda _: True, is_quick=True)
    assert max(question.rounds for question in quick) == 3
    assert not any(question.is_slow for question in quick)
    named = select(QUESTIONS, lambda q: q.name == "summary", is_quick=False)
    assert {question.name for question in named} == {"summary"}


@LINUX
def test_shares_fit_into_the_limits_of_a_process() -> None:
    parts = shares(100_000)
    assert sum(share.connections for share in parts) == 100_000
    assert max(share.connections for share in parts) < 10_000
    assert len({share.address for share in parts}) == len(parts)


def test_clients_have_addresses_of_their_own() -> None:
    parts = [Share(number, 9_000, has_many_peers=True) for number in (0, 1, 255)]
    hosts = {share.client_host(index) for share in parts for index in (0, 1, 8_999)}
    assert len(hosts) == 9
    assert all(host.startswith("127.") for host in hosts)
    assert Share(0, 1).client_host(0) == ""


@LINUX
def test_run_counts_lines_and_uses() -> None:
    done = run([sys.executable, "-c", "print('a\\n' * 40000)"])
    assert done.lines == 40_001
    assert done.wall_s > 0
    assert done.cpu_s > 0
    assert done.peak_mb > 1


@LINUX
def test_run_says_what_failed() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no luck')"]
    with pytest.raises(MeasureError, match=r"ended with 1: no luck$"):
        run(command)
    with pytest.raises(MeasureError, match=r"^/nowhere/ss: No such file or directory$"):
        run(["/nowhere/ss"])


@LINUX
def test_run_ends_what_takes_too_long() -> None:
    with pytest.raises(MeasureError, match=r"ended with -9: no message$"):
        run([sys.executable, "-c", "import time; time.sleep(600)"], longest_s=0.1)


@pytest.mark.live
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_tiny_run(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--sockets", "100", "--quick"]
    command += ["--only", "NDJSON without", "--json", str(written)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("| question ")
    document = json.loads(written.read_text())
    counts = {
        (told["population"], run_pair["ours"]["lines"])
        for told in document["comparisons"]
        if told["ours"] == " ".join(("python", *NDJSON[1:]))
        for run_pair in told["runs"]
    }
    # 2 and 1 listeners besides; the ends of TIME_WAIT have none any more
    assert counts == {("large", 102), ("peers", 102), ("time-wait", 102)}
    assert all(line["target"] is None for line in document["lines"])


@LINUX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_without_root_one_line() -> None:
    drop = "import os, sys; os.setuid(65534); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", drop, sys.executable, "-m", "benchmarks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "benchmarks: needs root: it opens sockets in a network namespace of its own\n"
    )
