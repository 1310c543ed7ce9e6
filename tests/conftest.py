"""What all tests share."""

import asyncio
import importlib.util
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from hftpy.common import set_root
from hftpy.exchange import registry

# What tests start is no worker of theirs: pytest-benchmark would not measure in one.
os.environ.pop("PYTEST_XDIST_WORKER", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files come first, so that no worker is left with one at the end; those that compile among those that wait.

    A wheel is tested with the extra `test` alone.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    native = {item.path for item in items if item.get_closest_marker("native") is not None}
    place: dict[Path, float] = {}
    for group in (native, {item.path for item in items} - native):
        ordered = sorted(group, key=lambda path: (path not in slow, path))
        place |= {path: (index + 0.5) / len(ordered) for index, path in enumerate(ordered)}
    items.sort(key=lambda item: (place[item.path], item.path))
    if importlib.util.find_spec("pytest_benchmark") is None:
        for item in items:
            if item.get_closest_marker("suite") is not None:
                item.add_marker(pytest.mark.skip(reason="pytest-benchmark is not installed (extra bench)"))


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As tmp_path, but not named after the test: for socket paths, which have at most 107 bytes."""
    path = tmp_path_factory.mktemp("r")
    path.chmod(0o700)
    return path


@pytest.fixture
def root(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A root folder of the test's own, also for the processes that it starts."""
    monkeypatch.setenv("HFT_ROOT", str(short_folder))
    yield short_folder
    set_root(None)


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test finds no account that another one registered."""
    monkeypatch.setattr(registry, "_apis", {})
    monkeypatch.setattr(registry, "_ws_apis", {})


@pytest.fixture
def fixtures() -> Path:
    """The folder of recorded venue messages."""
    named = os.environ.get("HFTPY_FIXTURES")
    if not named:
        pytest.skip("HFTPY_FIXTURES does not name a folder of recorded venue messages")
    return Path(named) / "real"


async def eventually(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait for a condition; `timeout` only bounds a test that fails."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("the condition did not come true")
        await asyncio.sleep(0.01)


Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(name="eventually")
def _eventually() -> Eventually:
    return eventually
