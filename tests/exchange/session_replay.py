"""Recorded frames, played as they are to a stream over a real socket."""

import asyncio
import gzip
import json

from exchange_fakes import Observer
from websockets.asyncio.server import serve

from hftpy.common import Ticker


def session_frames(path):
    with gzip.open(path, "rt") as lines:
        return [entry["data"] for entry in map(json.loads, lines) if entry["t"] == "recv"]


def shown(event):
    fields = event.to_dict()
    fields.pop("localTimeNs")
    return fields


class Player:
    """Plays frames to whoever subscribes."""

    def __init__(self, frames):
        self.frames = frames
        self.connections = 0

    async def __call__(self, socket):
        self.connections += 1
        await socket.recv()
        for frame in self.frames:
            await socket.send(frame)
        await socket.wait_closed()


class Address:
    def __init__(self, server):
        self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def replay(run_stream, frames, kind, count, exchange, **settings):
    observer, player = Observer(), Player(frames)
    async with await serve(player, "127.0.0.1", 0) as server:
        channel = "ticker" if kind is Ticker else "trade"
        stream, _ = run_stream(
            exchange, Address(server), observer, **settings, subscribe_channels=[channel], stale_after=0
        )
        await observer.count(count, kind)
        async with asyncio.timeout(20):
            while stream.stats[channel]["frames"] < len(frames):
                await asyncio.sleep(0.01)
        assert player.connections == 1
        await stream.stop()
        return observer, stream.stats[channel]
