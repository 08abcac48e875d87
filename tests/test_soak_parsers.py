"""Fuzz targets at full length: see fuzz.py. NETINSPECT_SOAK_INPUTS says how many inputs each."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import TARGET_NAMES, TARGETS, Target, fuzz

INPUTS = int(os.environ.get("NETINSPECT_SOAK_INPUTS", "1_000_000"))

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_NAMES)
def test_damaged_inputs(target: Target) -> None:
    fuzz(target, INPUTS)
