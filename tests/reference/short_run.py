"""Which of the seeded mistakes a run compiles and tries: each takes a build, so that `make test` takes some of them.

`HFTPY_MUTANTS=all` (`make mutants`) takes them all. That each can still be made is checked by every run.
"""

import os
from collections.abc import Iterable

ALL_MISTAKES = os.environ.get("HFTPY_MUTANTS") == "all"


def some(mistakes: Iterable[str]) -> list[str]:
    """Every third of them, or all."""
    return list(mistakes)[:: 1 if ALL_MISTAKES else 3]
