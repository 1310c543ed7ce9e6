"""``hftpy metrics``: the processes under a root in Prometheus' text format, once or for a scraper."""

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

from hftpy.service.metrics import CONTENT_TYPE, render
from hftpy.service.status import read_statuses


async def serve(host: str, port: int, announce: Callable[[str], None]) -> int:
    """Answer ``GET /metrics`` until SIGINT or SIGTERM.

    Returns
    -------
    int
        0.

    Raises
    ------
    OSError
        If the port is not to be had.
    """

    async def metrics(_request: web.Request) -> web.Response:
        text = await asyncio.to_thread(lambda: render(read_statuses()))
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        bound = runner.addresses[0]
        announce(f"http://{bound[0]}:{bound[1]}/metrics")
        await ended.wait()
    finally:
        await runner.cleanup()
    return 0
