"""Programs and configs of the specification, started as their users start them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hftpy.common import Exchange
from hftpy.sim import SimVenue, SyntheticMarket

LIMIT_S = 60.0  # only bounds a test that fails


class Program:
    """A process with everything it wrote, and the processes that it started."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self._output = output
        self.family: set[psutil.Process] = set()

    @property
    def text(self) -> str:
        """Standard output and error so far."""
        return self._output.read_text()

    async def says(self, *texts: str, times: int = 1) -> None:
        """Wait until each of `texts` was written so many times."""
        deadline = time.monotonic() + LIMIT_S
        while not all(self.text.count(text) >= times for text in texts):
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise AssertionError(f"status {self.process.returncode}, and not yet {texts}:\n{self.text}")
            await asyncio.sleep(0.02)
        self.look()

    def look(self) -> None:
        """Remember who belongs to it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family |= {*psutil.Process(self.process.pid).children(recursive=True)}

    async def end(self, number: int | None = signal.SIGINT) -> int:
        """Send a signal (None: just wait) and return the exit status."""
        self.look()
        if number is not None and self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(LIMIT_S):
            return await self.process.wait()

    def survivors(self) -> list[psutil.Process]:
        """What it started and did not end."""
        return [process for process in self.family if process.is_running() and process.status() != "zombie"]


@pytest.fixture
async def start(root: Path, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts ``python ARGUMENTS``; a test that fails leaves nothing running either."""
    programs: list[Program] = []

    async def start(*arguments: object, cwd: Path = tmp_path, **environment: object) -> Program:
        output = tmp_path / f"output-{len(programs)}.txt"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *map(str, arguments), cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=file,
                stderr=file, env={**os.environ, "PYTHONUNBUFFERED": "1", **{k: str(v) for k, v in environment.items()}},
            )  # fmt: skip
        programs.append(Program(process, output))
        return programs[-1]

    yield start
    for program in programs:
        program.look()
        if program.process.returncode is None:
            program.process.kill()
            await program.process.wait()
        for process in program.survivors():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def run(start: Callable[..., Any]) -> Callable[..., Any]:
    """``hftpy run CONFIG``."""
    return lambda config, *options, **environment: start("-m", "hftpy.cli", "run", config, *options, **environment)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config and its service modules into a folder; returns the config's path."""

    def write(name: str, sections: object, **modules: str) -> Path:
        folder = tmp_path / name
        (folder / "service").mkdir(parents=True, exist_ok=True)
        for module, source in modules.items():
            (folder / "service" / f"{module}.py").write_text(source)
        config = folder / "config.json"
        config.write_text(sections if isinstance(sections, str) else json.dumps(sections))
        return config

    return write


def left_behind(root: Path) -> list[Path]:
    """Sockets and locks under a root."""
    return [path for path in (root / "zmq").rglob("*") if not path.is_dir()]


def status_of(root: Path, process_id: str) -> dict[str, Any]:
    """What a service tells about itself; empty before it does."""
    try:
        found: dict[str, Any] = json.loads((root / "status" / f"{process_id}.json").read_text())
    except FileNotFoundError:
        return {}
    return found


@pytest.fixture(name="left_behind")
def left_behind_fixture(root: Path) -> Callable[[], list[Path]]:
    return lambda: left_behind(root)


@pytest.fixture(name="status_of")
def status_of_fixture(root: Path) -> Callable[[str], dict[str, Any]]:
    return lambda process_id: status_of(root, process_id)


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    market = SyntheticMarket(["btc/usd", "eth/usd", "btc/usdt", "eth/usdt"], seed=1, rate=50)
    async with SimVenue(market, (Exchange.KRAKEN, Exchange.BINANCE)) as venue:
        yield venue
