"""Serve a simulated venue until cancelled: what `hftpy sim` runs."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hftcore.enums import Exchange
from hftpy.sim.faults import Fault
from hftpy.sim.market import Market, SyntheticMarket
from hftpy.sim.replay import ReplayMarket
from hftpy.sim.venue import SimVenue

DEFAULT_PAIRS = ("btc/usd", "eth/usd", "btc/usdt", "eth/usdt")


async def serve(
    venues: Sequence[str | Exchange] = ("kraken",),
    port: int = 0,
    rest_port: int = 0,
    *,
    host: str = "127.0.0.1",
    pairs: Iterable[str] = DEFAULT_PAIRS,
    seed: int = 0,
    rate: float = 100.0,
    session: str | os.PathLike[str] | None = None,
    speed: float = 1.0,
    autostart: bool = True,
    faults: Iterable[Fault | str] = (),
    announce: Callable[[dict[str, Any]], None] = lambda addresses: None,
) -> None:
    """Start a venue, announce its addresses, serve until cancelled, clean up.

    Parameters
    ----------
    venues
        Protocols to speak; with `session` and none given, the session's.
    port, rest_port
        Ports of the WebSocket and the REST side; 0 chooses.
    pairs, seed, rate
        Of the synthetic market.
    session, speed
        A recorded session to replay instead; see `ReplayMarket`.
    autostart
        See the markets.
    faults
        ``KIND@SECOND``.
    announce
        Called once with ``{"venues": {name: {"ws": url, "rest": url}}, "control": url, "pairs": […]}``.

    Raises
    ------
    ValueError
        If an argument cannot be used.
    OSError
        If a port is taken or the session cannot be read.
    """
    market: Market
    if session is not None:
        market = ReplayMarket(session, speed, autostart=autostart)
        venues = venues or (market.exchange,)
    else:
        market = SyntheticMarket(pairs, seed, rate, autostart=autostart)
    exchanges = [Exchange.parse(venue) for venue in venues]
    venue = SimVenue(market, exchanges, host, port, rest_port, faults)
    try:
        await venue.start()
        announce(
            {
                "venues": {
                    str(exchange): {"ws": venue.ws_url(exchange), "rest": venue.rest_url(exchange)}
                    for exchange in exchanges
                },
                "control": venue.control_url,
                "pairs": [str(pair) for pair in market.pairs],
            }
        )
        await asyncio.Event().wait()
    finally:
        await venue.stop()
