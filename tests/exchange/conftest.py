import asyncio

import pytest

from hftpy.exchange import client as client_module
from hftpy.exchange import get_exchange_stream

FAST = {"times": -1, "initial": 0.01, "max": 0.05}


@pytest.fixture(params=["picows", "picows_in_python", "websockets"])
def client(request, monkeypatch):
    """Each client, and picows as it is used where the compiled listener does not fit."""
    if request.param == "picows_in_python":
        monkeypatch.setattr(client_module, "_NATIVE_LISTENER", None)
        return "picows"
    return request.param


@pytest.fixture
async def run_stream(client):
    """Starts streams; ends them, and checks that no task is left."""
    before = asyncio.all_tasks()
    started = []

    def start(exchange, venue, observer, **settings):
        settings = {
            "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"], "api_host": venue.url,
            "reconnect_times": FAST, "client": client,
        } | settings  # fmt: skip
        stream = get_exchange_stream(exchange=exchange, **settings)
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        started.append((stream, task))
        return stream, task

    yield start
    for stream, task in started:
        async with asyncio.timeout(5):
            await stream.stop()
            await asyncio.gather(task, return_exceptions=True)
    ours = [
        task.get_name() for task in asyncio.all_tasks() - before if "hftpy" in task.get_name() and not task.done()
    ]
    assert not ours
