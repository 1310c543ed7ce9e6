"""The body of an answer by REST, whole, within a limit."""

import aiohttp


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """All of a body; more than `limit` bytes where it is longer than that: the rest is not read.

    Raises
    ------
    aiohttp.ClientError
        If it breaks off.
    """
    # A read gives what has arrived, not what was asked for.
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := await response.content.read(limit + 1 - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
