"""The ZeroMQ headers under ThreadSanitizer and AddressSanitizer, and seeded mutants that the runs must find."""

import random

import pytest
from native_stress import FOUND, ITEMS, MARKS, SANITIZERS, build, changed, run
from short_run import some

pytestmark = MARKS
SOURCE = "zmq_stress.cpp"


@pytest.mark.parametrize("sanitizer", sorted(SANITIZERS))
def test_nothing_is_lost_and_nothing_read_beyond(tmp_path, sanitizer):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    done = run(build(SOURCE, tmp_path / "program", sanitizer), ITEMS // 5, seed)
    assert done.returncode == 0, done.stderr[-4000:]


# header, what is right, what is wrong, what finds it
MISTAKES = {
    "a buffer given back without release": (
        "zmq_api.hpp",
        "done, std::memory_order_release, std::memory_order_relaxed",
        "done, std::memory_order_relaxed, std::memory_order_relaxed",
        "thread",
    ),
    "a tail that is one short": ("sequence_tracker.hpp", "const std::uint64_t lost = seq - topic.last;\n",
                                 "const std::uint64_t lost = seq - topic.last - 1;\n", "address"),
    "a number that is not the last": ("publication.hpp", "put_varint_field(head, 2, topic.seq);",
                                      "put_varint_field(head, 2, topic.seq - 1);", "address"),
    "a map that forgets": ("topic_map.hpp", "for (Entry& entry : entries_) place(&entry);", "", "address"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", some(sorted(MISTAKES)))
def test_a_mistake_is_found(tmp_path, mistake):
    header, right, wrong, sanitizer = MISTAKES[mistake]
    include = changed(tmp_path, header, right, wrong)
    done = run(build(SOURCE, tmp_path / "mutant", sanitizer, include=include), 20_000, 1)
    assert done.returncode in (FOUND, 1), done.stderr[-4000:] or "the mutant was not found"
    assert "wrong:" in done.stderr or "Sanitizer" in done.stderr
