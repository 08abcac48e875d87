"""Hundreds of runs ended at random moments: see kills.py. NETINSPECT_SOAK_KILLS says how many."""

from __future__ import annotations

import os

import pytest

from tests.kills import kill_at_random
from tests.namespace import why_not

KILLS = int(os.environ.get("NETINSPECT_SOAK_KILLS", "500"))

pytestmark = [
    pytest.mark.soak,
    pytest.mark.live,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


def test_ended_at_random_moments() -> None:
    kill_at_random(KILLS)
