"""Serves a recorded session, or one that a test wrote, on real loopback sockets: frames in order, snapshots by REST.

The frames go to whoever subscribes. What must not run ahead is held back: a frame that follows a snapshot in the
session is sent once that snapshot was fetched. Frames can be removed, repeated and swapped.
"""

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@dataclass(frozen=True)
class Step:
    """One line of a session: a frame, or a snapshot by REST (`symbol` is the venue's spelling)."""

    data: str
    symbol: str = ""

    @property
    def is_rest(self) -> bool:
        return bool(self.symbol)


def read_session(path: Path) -> list[Step]:
    """The frames and REST snapshots of a recorded session, in their order."""
    steps = []
    symbol = ""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            data = row.get("data", "")
            if row["t"] == "http" and (found := re.search(r"/depth\?symbol=([A-Z0-9]+)", row.get("url", ""))):
                steps.append(Step(data, found[1]))
            elif row["t"] == "recv" and data.startswith('{"lastUpdateId"'):
                steps.append(Step(data, symbol))  # a recorder's own snapshot, of the one symbol that it recorded
            elif row["t"] == "recv":
                steps.append(Step(data))
                if not symbol and (spelled := re.search(r'"s":"([A-Z0-9_]+)"', data)):
                    symbol = spelled[1]
    return steps


def changed(steps: Sequence[Step], kind: str, at: int) -> list[Step]:
    """The session with the frame at a place removed or repeated, or swapped with the next one."""
    steps = list(steps)
    match kind:
        case "remove":
            del steps[at]
        case "repeat":
            steps.insert(at + 1, steps[at])
        case "swap":
            steps[at], steps[at + 1] = steps[at + 1], steps[at]
        case _:
            raise ValueError(f"kind must be remove, repeat or swap, was {kind!r}")
    return steps


class SessionServer:
    """A venue that plays one session to the first connection that subscribes.

    Parameters
    ----------
    steps
        What to play. `given`: how many frames were sent.
    answers
        Gives the frames that answer a message of the client, acknowledgements and snapshots of symbols that are asked
        for again; called with the message and the server.
    rest
        Gives the snapshot of a symbol: called with symbol and server; None: the session's own.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        answers: Callable[[dict[str, Any], "SessionServer"], Iterable[str]],
        rest: Callable[[str, "SessionServer"], str | None] = lambda symbol, server: None,
    ) -> None:
        self.steps = list(steps)
        self.answers = answers
        self.rest = rest
        self.messages: list[dict[str, Any]] = []
        self.fetched: list[str] = []
        self.given = 0
        self.pause = asyncio.Event()  # cleared: no frame is sent
        self.pause.set()
        self.done = asyncio.Event()
        self._offered: dict[str, str] = {}
        self._taken = asyncio.Event()
        self._server: Server | None = None
        self._runner: web.AppRunner | None = None
        self._player: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()  # what is sent is in the order in which it was made
        self.connections: list[ServerConnection] = []

    async def __aenter__(self) -> "SessionServer":
        self._server = await serve(self._serve, "127.0.0.1", 0, max_size=None, compression=None)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._snapshot)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._player is not None:
            self._player.cancel()
            await asyncio.gather(self._player, return_exceptions=True)
        assert self._server is not None and self._runner is not None
        self._server.close()
        await self._server.wait_closed()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    @property
    def rest_url(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def send(self, *frames: str) -> None:
        """Send frames past the session."""
        for frame in frames:
            await self.connections[-1].send(frame)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            async for text in connection:
                message = json.loads(text)
                self.messages.append(message)
                async with self._sending:
                    for frame in self.answers(message, self):
                        await connection.send(frame)
                if self._player is None:
                    self._player = asyncio.create_task(self._play(connection))
        except ConnectionClosed:
            return

    async def _play(self, connection: ServerConnection) -> None:
        for step in self.steps:
            if step.is_rest:
                self._offered[step.symbol] = step.data
                async with asyncio.timeout(30):
                    while step.symbol in self._offered:
                        self._taken.clear()
                        await self._taken.wait()
                continue
            await self.pause.wait()
            async with self._sending:
                await connection.send(step.data)
                self.given += 1
        self.done.set()

    async def _snapshot(self, request: web.Request) -> web.Response:
        symbol = request.query["symbol"]
        self.fetched.append(symbol)
        body = self.rest(symbol, self)
        if body is None:
            async with asyncio.timeout(30):
                while symbol not in self._offered:
                    await asyncio.sleep(0.005)
            body = self._offered.pop(symbol)
            self._taken.set()
        return web.Response(text=body, content_type="application/json")
