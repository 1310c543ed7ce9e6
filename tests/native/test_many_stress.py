"""Rings with several producers, conflation and waiting for room under ThreadSanitizer and AddressSanitizer. Length as
in test_ring_stress.py. The seeded mutants of their algorithms are in test_structures.py, which finds them without luck.
"""

from pathlib import Path

import pytest
from native_stress import FOUND, ITEMS, MARKS, SANITIZERS, build, changed, run

pytestmark = MARKS
POLICIES = ("drop_newest", "drop_oldest", "halt", "block", "conflate")
EACH = max(ITEMS // 50, 10_000)  # times three producers, thirty runs


@pytest.fixture(scope="module", params=sorted(SANITIZERS))
def program(request, tmp_path_factory) -> Path:
    return build("many_stress.cpp", tmp_path_factory.mktemp("stress") / request.param, request.param)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capacity", [1, 8, 1024])
def test_no_race_no_loss_no_tear(program, policy, capacity):
    for producers in (1, 3):
        done = run(program, policy, capacity, EACH, producers)
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stderr == ""


RELAXED = {
    "publish": "-DHFT_MPSC_PUBLISH_ORDER=std::memory_order_relaxed",
    "retire": "-DHFT_MPSC_RETIRE_ORDER=std::memory_order_relaxed",
}


@pytest.mark.parametrize("mutant", sorted(RELAXED))
def test_a_release_made_relaxed_is_found(tmp_path, mutant):
    done = run(build("many_stress.cpp", tmp_path / "mutant", "thread", RELAXED[mutant]), "drop_newest", 8, 10_000, 3)
    assert done.returncode == FOUND, done.stderr[-4000:] or done.stdout
    assert "data race" in done.stderr


# Lets others run between two steps: makes the rare interleaving the usual one.
PAUSE = "std::this_thread::yield();\n"
MPSC_CLAIM = (
    "            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,\n"
    "                                                       std::memory_order_acquire)) {"
)

def test_a_consumer_that_is_overtaken_while_it_copies_delivers_nothing_torn(tmp_path):
    include = changed(tmp_path, "mpsc_ring.hpp", MPSC_CLAIM, PAUSE + MPSC_CLAIM)
    program = build("many_stress.cpp", tmp_path / "paused", "thread", "-include", "thread", include=include)
    for capacity in (1, 8):
        done = run(program, "drop_oldest", capacity, 5_000, 3)
        assert done.returncode == 0, done.stderr[-4000:]


def test_a_producer_that_sleeps_before_it_writes_holds_up_no_counter(tmp_path):
    right = "        write(slots_[tail & mask_], item);\n"
    include = changed(tmp_path, "mpsc_ring.hpp", right, "        if ((tail & 63) == 5) " + PAUSE + right)
    program = build("many_stress.cpp", tmp_path / "paused", "thread", "-include", "thread", include=include)
    for policy in POLICIES[:4]:
        for capacity in (1, 8):
            done = run(program, policy, capacity, 5_000, 3)
            assert done.returncode == 0, (policy, capacity, done.stderr[-4000:])
