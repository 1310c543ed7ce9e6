"""Depth snapshots by REST, for venues whose book streams bring none: one by one, within the venue's limit."""

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp

from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair
from hftpy.common.log import LimitedLog
from hftpy.common.loops import end_tasks
from hftpy.exchange.base_url import REST_SCHEMES, check_base_url
from hftpy.exchange.hooks import FRAME_TAP, SESSION_SOURCE
from hftpy.exchange.rest_body import read_body

logger = logging.getLogger("hftpy.exchange")

TIMEOUT_S = 10.0
MAX_BYTES = 16 << 20
BLOCKED = (403, 418, 429)  # asked too often: wait as long as the venue says
DEFAULT_BLOCK_S = 30.0
MAX_BLOCK_S = 3600.0


class SnapshotLoader:
    """Fetches snapshots, each pair at most once at a time. Belongs to one event loop; `close` it.

    Parameters
    ----------
    base
        ``http://`` or ``https://`` and host.
    path_of
        Path and query for a pair.
    taken
        Called with pair and body; False: the snapshot is of no use, ask for another.
    again
        Called with a pair that is to be asked for again.
    interval_s
        Least pause between two requests.

    Raises
    ------
    ConfigError
        If `base` is no such URL.
    """

    def __init__(
        self,
        base: str,
        path_of: Callable[[CurrencyPair], str],
        taken: Callable[[CurrencyPair, bytes], bool],
        again: Callable[[CurrencyPair], None],
        interval_s: float,
    ) -> None:
        self._base = check_base_url("rest_host", base, REST_SCHEMES).rstrip("/")
        self._path_of = path_of
        self._taken = taken
        self._again = again
        self._interval_s = interval_s
        self._waiting: dict[CurrencyPair, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._not_before = 0.0
        self._log = LimitedLog(logger)
        self.fetched = 0
        self.failed = 0

    def fetch(self, pair: CurrencyPair) -> None:
        """Fetch a snapshot soon; in a replay none, as the recording brings it where there was one."""
        if SESSION_SOURCE.get() is not None:
            return
        self._waiting[pair] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="hftpy book snapshots")

    async def close(self) -> None:
        """End what is under way."""
        try:
            if self._task is not None:
                await end_tasks((self._task,))
        finally:
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def _run(self) -> None:
        while self._waiting:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            pair = next(iter(self._waiting))
            del self._waiting[pair]
            self._not_before = time.monotonic() + self._interval_s
            try:
                body = await self._get(self._path_of(pair))
                if body is not None:
                    self.fetched += 1
                    if not self._taken(pair, body):
                        self._again(pair)
            except (ParseError, aiohttp.ClientError, TimeoutError, OSError) as error:
                self._failed(f"{pair}: {type(error).__name__}: {error}")

    async def _get(self, path: str) -> bytes | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        async with self._session.get(self._base + path) as response:
            if response.status in BLOCKED:
                self._not_before = time.monotonic() + _seconds(response.headers.get("Retry-After", ""))
            body = await read_body(response, MAX_BYTES)
            if response.status != 200 or len(body) > MAX_BYTES:
                self._failed(f"{path}: HTTP {response.status}, {len(body)} bytes, {body[:200]!r}")
                return None
        tap = FRAME_TAP.get()
        if tap is not None:
            tap.http(self._base + path, body.decode("utf-8", "surrogateescape"))
        return body

    def _failed(self, what: str) -> None:
        """What failed is asked for again when its answer is overdue."""
        self.failed += 1
        self._log.warning("snapshot", f"no snapshot from {self._base}: {what}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return DEFAULT_BLOCK_S
    return min(max(seconds, 1.0), MAX_BLOCK_S) if seconds == seconds else DEFAULT_BLOCK_S  # NaN is no time
