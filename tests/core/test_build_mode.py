"""The core that is tested is the one that was asked for: `make asan` says so in HFTPY_EXPECT_BUILD."""

import os

import hftcore


def test_the_build_mode_is_known():
    assert hftcore.build_mode in ("release", "debug", "asan", "tsan", "coverage")


def test_the_build_mode_is_the_expected_one():
    assert hftcore.build_mode == os.environ.get("HFTPY_EXPECT_BUILD", hftcore.build_mode)
