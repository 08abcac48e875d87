"""Ranges and performance data as the Perl module of the Monitoring Plugins project reads them."""

from __future__ import annotations

import random
import shutil
import subprocess
from contextlib import suppress

import pytest

from netinspect.diagnose.threshold import parse_range
from netinspect.errors import UsageError
from netinspect.render.plugin import Measure, plugin_line

PERFORMANCE = r"""
use Monitoring::Plugin::Performance;
for (Monitoring::Plugin::Performance->parse_perfstring(<STDIN>)) {
    my @parts = ($_->label, $_->value, $_->uom, $_->warning, $_->critical, $_->min, $_->max);
    print join("|", map { defined $_ ? "$_" : "" } @parts), "\n";
}
"""
# a line "RANGE VALUE..." in, "RANGE 0 1 1 ..." out, and nothing where it is none
RANGES = r"""
use Monitoring::Plugin::Range;
while (<STDIN>) {
    my ($text, @values) = split;
    my $range = Monitoring::Plugin::Range->parse_range_string($text);
    print join(" ", $text, map { $range->check_range($_) ? 1 : 0 } @values), "\n" if ref $range;
}
"""


def perl(script: str, stdin: str) -> str:
    done = subprocess.run(
        ["perl", "-e", script], input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout


def has_module() -> bool:
    if not shutil.which("perl"):
        return False
    command = ["perl", "-MMonitoring::Plugin", "-e", "1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not has_module(), reason="needs Perl's Monitoring::Plugin")


def test_performance_data_is_read() -> None:
    measures = [
        Measure("count", 23853, warning="14000", critical="~:22000"),
        Measure("port_percent", 61.257, "%", "50", "~:80", 100),
        Measure("queue", 0, critical="10:20"),
    ]
    line = plugin_line("CRITICAL", "it's |=; \x1b'a'=1", measures)
    assert perl(PERFORMANCE, line.partition("|")[2]).splitlines() == [
        "count|23853||14000|~:22000|0|",
        "port_percent|61.26|%|50|~:80|0|100",
        "queue|0|||10:20|0|",
    ]


def test_ranges_mean_the_same() -> None:
    chosen = random.Random(7)  # noqa: S311 the same values every time
    numbers = ["0", "1", "10", "20", "-5", "2.5", "100000"]
    texts = {
        f"{at}{start}{end}"
        for at in ("", "@")
        for start in ("", "~:", *(f"{n}:" for n in numbers))
        for end in ("", *numbers)
    }
    values = [*map(float, numbers), -6.0, 9.99, 20.01, 1e9]
    values += [round(chosen.uniform(-10, 30), 2) for _ in range(20)]
    lines = [f"{text} {' '.join(f'{value:f}' for value in values)}" for text in sorted(texts)]
    theirs = dict(line.split(" ", 1) for line in perl(RANGES, "\n".join(lines)).splitlines())
    read = 0
    for text in texts:
        with suppress(UsageError):  # we refuse what means everything, or nothing
            found = parse_range(text)
            read += 1
            assert theirs[text] == " ".join(str(int(found.alerts(v))) for v in values), text
    assert read > len(texts) / 2
