import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # Short: a socket's path has at most 107 bytes.
    path = tmp_path_factory.mktemp("r")
    path.chmod(0o700)
    yield path
    # Who published there outlives them: for subscribers that were stopped meanwhile.
    left = [item for item in path.rglob("*") if not item.is_dir() and item.parent.name != "lives"]
    assert not left, f"left behind: {left}"


async def until(condition: Callable[[], object], what: str = "the condition", limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., object]:
    return until
