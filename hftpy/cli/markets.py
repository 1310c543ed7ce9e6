"""``hftpy markets VENUE``: what a venue lists."""

import json
from typing import TextIO

from hftcore.enums import Exchange
from hftpy.exchange.instruments import fetch_instruments


async def list_markets(venue: str, rest_host: str | None, text: str, as_json: bool, out: TextIO) -> int:
    """Print a venue's instruments, one line each: symbol, the venue's spelling, tick, lot, smallest amount.

    Returns
    -------
    int
        0; 1 if none was found.

    Raises
    ------
    ValueError
        If there is no such venue, or its answer cannot be read.
    VenueError
        If the venue cannot be asked.
    """
    found, _, _ = await fetch_instruments(Exchange.parse(venue), rest_host)
    rows = [item.to_dict() for item in found]
    wanted = [row for row in rows if text.lower() in row["symbol"] or text.upper() in row["native"].upper()]
    for row in wanted:
        values = [value or "-" for value in row.values()]
        line = json.dumps(row) if as_json else "{:24} {:24} {:>14} {:>14} {:>14}".format(*values)
        out.write(line + "\n")
    return 0 if wanted else 1
