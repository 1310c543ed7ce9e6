"""Sleeping on shared memory, and the watcher of an event loop: park_check.cpp lets the writer publish between the
reader's steps, so that each seeded mutant is found by each run.
"""

import sys
from pathlib import Path

import pytest
from native_stress import MARKS, SANITIZERS, build, changed, run
from short_run import some

pytestmark = [*MARKS, pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux's futex")]
LOOK = "        if (Reader::ready(view, position)) return true;\n        const std::int64_t left"
MISTAKES = {
    "no last look": (LOOK, "        const std::int64_t left"),
    "a look before arming": (
        '        const std::uint32_t armed = arm(view.park->word);\n        HFT_STEP_POINT("armed");\n' + LOOK,
        '        if (Reader::ready(view, position)) return true;\n        HFT_STEP_POINT("armed");\n'
        "        const std::uint32_t armed = arm(view.park->word);\n        const std::int64_t left",
    ),
    "arming that nobody sees": ("word.fetch_or(1, std::memory_order_seq_cst) | 1", "word.load() | 1"),
    "a sleeper that is woken for ever": ("(found | 1) + 1", "found + 2"),
    "a word that comes back to what it was": ("(found | 1) + 1", "found & ~1u"),
    "a loop that sleeps beside a message": (
        "if (!Reader::ready(view_, position) && live(view_)) return true;", "if (live(view_)) return true;",
    ),
    "a loop that sleeps on a writer that has ended": (
        "if (!Reader::ready(view_, position) && live(view_)) return true;",
        "if (!Reader::ready(view_, position)) return true;",
    ),
    "a loop that is always told of something": ("        arm(view_.park->word);\n", "        return false;\n"),
    "a signal to a loop that is awake": (
        "if (armed_.exchange(false, std::memory_order_acq_rel)) signal();", "signal();",
    ),
    "the same signal for ever": (
        "if (armed_.exchange(false, std::memory_order_acq_rel)) signal();", "if (armed_.load()) signal();",
    ),
    "an end that the loop is not told": (" || !live(view_));", ");"),
    "a message that the loop is not told": (
        "(Reader::ready(view_, position_.load(std::memory_order_relaxed)) || ", "(",
    ),
    "another file that the loop is not told": (
        "return found.st_dev != device_ || found.st_ino != inode_;", "return false;",
    ),
    "any file is another": ("return found.st_dev != device_ || found.st_ino != inode_;", "return true;"),
    "an older position": ("position_.store(position, std::memory_order_relaxed);", "position_.store(0);"),
}  # fmt: skip


@pytest.mark.parametrize("sanitizer", sorted(SANITIZERS))
def test_nobody_sleeps_beside_a_message(tmp_path: Path, sanitizer: str) -> None:
    program = build("park_check.cpp", tmp_path / "park", sanitizer, "-Wno-tsan" if sanitizer == "thread" else "-O1")
    (tmp_path / "segments").mkdir()
    done = run(program, tmp_path / "segments", limit_s=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", ""), done.stderr[-4000:]
    assert not list((tmp_path / "segments").iterdir())


@pytest.mark.parametrize("mistake", some(sorted(MISTAKES)))
def test_a_mistake_is_found(tmp_path: Path, mistake: str) -> None:
    include = changed(tmp_path, "shm_park.hpp", *MISTAKES[mistake])
    program = build("park_check.cpp", tmp_path / "mutant", "", include=include)
    (tmp_path / "segments").mkdir()
    done = run(program, tmp_path / "segments", limit_s=60)
    assert done.returncode == 1 and "violated" in done.stderr, (done.returncode, done.stdout, done.stderr[-2000:])
