"""The ring's C++ under ThreadSanitizer and AddressSanitizer, and seeded mutants that these runs must find.

`HFTPY_STRESS_ITEMS` sets the length (`make sanitize` runs it long).
"""

from pathlib import Path

import pytest
from native_stress import FOUND, ITEMS, MARKS, SANITIZERS, changed, run
from native_stress import build as build_program
from short_run import some

pytestmark = MARKS
POLICIES = ("drop_newest", "drop_oldest", "halt")


def build(target: Path, sanitizer: str, *options: str, **include: Path) -> Path:
    return build_program("ring_stress.cpp", target, sanitizer, *options, **include)


@pytest.fixture(scope="module", params=sorted(SANITIZERS))
def program(request, tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("stress") / request.param, request.param)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capacity", [1, 8, 1024])
def test_no_race_no_loss_no_tear(program, policy, capacity):
    done = run(program, policy, capacity, ITEMS)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""


RELAXED = {
    "publish": "-DHFT_RING_PUBLISH_ORDER=std::memory_order_relaxed",
    "retire": "-DHFT_RING_RETIRE_ORDER=std::memory_order_relaxed",
}


@pytest.mark.parametrize("mutant", sorted(RELAXED))
def test_a_release_made_relaxed_is_found(tmp_path, mutant):
    program = build(tmp_path / "mutant", "thread", RELAXED[mutant])
    for turns in ([], ["turns"]):
        done = run(program, "drop_newest", 8, 20_000, *turns)
        assert done.returncode == FOUND, done.stderr[-4000:] or done.stdout
        assert "data race" in done.stderr


CLAIM = (
    "            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,\n"
    "                                                       std::memory_order_acquire)) {"
)
# Between copying and claiming, let the producer run: makes the rare interleaving the usual one.
PAUSE = "            std::this_thread::yield();\n"

# Mistakes in the algorithm, which no sanitizer need see: the program's own checks find them.
MISTAKES = {
    # the consumer believes its copy although the producer took the item away
    "claim without check": (
        "drop_oldest",
        CLAIM,
        PAUSE + "            consumer_.head.store(head + n, std::memory_order_release);\n            {",
    ),
    # one slot too many
    "full too late": ("drop_newest", "producer_.cachedHead >= capacity_) {", "producer_.cachedHead > capacity_) {"),
    # a drop that nobody counts
    "uncounted drop": (
        "drop_oldest",
        "            count(producer_.dropped);\n            producer_.cachedHead",
        "            producer_.cachedHead",
    ),
    # the item is announced before it is written
    "publish before write": (
        "drop_newest",
        "        write(slots_[tail & mask_], item);\n",
        "        producer_.tail.store(tail + 1, std::memory_order_release);\n"
        + PAUSE
        + "        write(slots_[tail & mask_], item);\n",
    ),
}


def changed_header(tmp_path: Path, right: str, wrong: str) -> Path:
    return changed(tmp_path, "spsc_ring.hpp", right, wrong)


@pytest.mark.parametrize("mistake", some(sorted(MISTAKES)))
def test_a_mistake_in_the_algorithm_is_found(tmp_path, mistake):
    policy, right, wrong = MISTAKES[mistake]
    program = build(tmp_path / "mutant", "thread", include=changed_header(tmp_path, right, wrong))
    found = [run(program, policy, capacity, 20_000).returncode for capacity in (1, 8)]
    assert {1, FOUND} & set(found), f"nothing found: {found}"


def test_a_consumer_that_is_overtaken_while_it_copies_delivers_nothing_torn(tmp_path):
    program = build(tmp_path / "paused", "thread", include=changed_header(tmp_path, CLAIM, PAUSE + CLAIM))
    for capacity in (1, 8):
        done = run(program, "drop_oldest", capacity, 20_000)
        assert done.returncode == 0, done.stderr[-4000:]
