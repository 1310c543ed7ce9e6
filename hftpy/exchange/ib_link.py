"""The connection to TWS or IB Gateway, made by ib_async: handshake, pacing of requests, the details of contracts.

A link looks like a WebSocket connection to the runner: it hands whole payloads to `on_frame` and tells its end by
`on_closed`. ib_async is imported here and nowhere else, and only when the first link is made. One event loop; not
thread-safe.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import urlsplit

from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair
from hftpy.common.loops import end_tasks
from hftpy.errors import ConfigError
from hftpy.exchange.client import CLOSE_TIMEOUT_S, ConnectError, Connection, OnClosed, OnFrame
from hftpy.exchange.ib_contracts import IBContract
from hftpy.exchange.ib_messages import Framer, Notice, frame_of, read_message, split_fields

HANDSHAKE_TIMEOUT_S = 10.0
DETAILS_TIMEOUT_S = 10.0  # since the last answer; then a contract is subscribed as it was given
CLIENT_ID_IN_USE = 326


def require_ib_async() -> Any:
    """The library.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import ib_async
    except ImportError as error:
        raise ConfigError(f"the exchange ib needs the package ib_async ({error}): pip install 'hftpy[ib]'") from error
    return ib_async


class Details:
    """What is known of the contracts of a channel; kept from one connection to the next.

    Parameters
    ----------
    wanted
        The contracts as they were given.
    """

    def __init__(self, wanted: Mapping[CurrencyPair, IBContract]) -> None:
        self.wanted = dict(wanted)
        self.found: dict[CurrencyPair, IBContract] = {}
        self.refused: dict[CurrencyPair, str] = {}  # of the connection that was asked last

    def contract(self, pair: CurrencyPair) -> IBContract:
        """The contract of a pair: as it was found, else as it was given."""
        return self.found.get(pair) or self.wanted[pair]

    def recall(self, contracts: Mapping[str, Mapping[str, Any]], refused: Mapping[str, str]) -> None:
        """What a recording knows of the contracts.

        Raises
        ------
        ValueError
            If a pair meant another contract when it was recorded.
        """
        recorded = {CurrencyPair(pair): IBContract(**values) for pair, values in contracts.items()}
        for pair, wanted in self.wanted.items():
            if pair not in recorded:
                continue
            if not wanted.agrees_with(recorded[pair]):
                raise ValueError(f"contract of {pair} must be the recorded one ({recorded[pair]}), was {wanted}")
            self.found[pair] = recorded[pair]
        self.refused = {pair: refused[str(pair)] for pair in self.wanted if str(pair) in refused}

    def take(self, pair: CurrencyPair, candidates: list[IBContract]) -> None:
        """The venue's answer: the contracts that fit."""
        wanted = self.wanted[pair]
        numbers = {candidate.conId for candidate in candidates}
        if not candidates:
            self.refused[pair] = f"no contract is {wanted}"
        elif len(numbers) > 1:
            shown = ", ".join(sorted(candidate.localSymbol or str(candidate) for candidate in candidates)[:4])
            self.refused[pair] = (
                f"{len(numbers)} contracts are {wanted} ({shown}, …): name one by subscribe_args.contracts"
            )
        else:
            same = [candidate for candidate in candidates if candidate.exchange == wanted.exchange]
            self.found[pair] = (same or candidates)[0]


class IBLink(Connection):
    """One connection to TWS.

    Parameters
    ----------
    on_frame
        Called with each payload; must not raise.
    on_closed
        Called once, with 0 and the reason, when the connection is over; not for one that `close` ended.
    on_read
        Called before the payloads of one read, with the time of that read in nanoseconds.
    """

    def __init__(self, on_frame: OnFrame, on_closed: OnClosed, on_read: Callable[[int], None]) -> None:
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._on_read = on_read
        self._framer = Framer()
        self._read = 0  # answers that ib_async has read
        self._payload = b""  # that ib_async reads just now
        self._asked: dict[int, CurrencyPair] = {}
        self._answers: dict[int, list[IBContract]] = {}
        self._answered = asyncio.Event()
        self._details: Details | None = None
        self._refusal = ""  # what TWS said before it closed
        self._reason = ""  # why we ended it
        self._is_closed = False
        self._is_told = False
        self._over = asyncio.Event()
        self._client = _make_client(self)
        self._client.apiError.connect(self._api_error)

    @property
    def server_version(self) -> int:
        """What was agreed on in the handshake."""
        version: int = self._client.serverVersion()
        return version

    async def open(self, host: str, port: int, client_id: int) -> None:
        """Connect, and start the API.

        Raises
        ------
        ConnectError
            If TWS cannot be reached, does not speak its protocol, or refuses the client.
        """
        shaking = asyncio.create_task(
            self._client.connectAsync(host, port, client_id, HANDSHAKE_TIMEOUT_S), name="hftpy ib handshake"
        )
        over = asyncio.create_task(self._over.wait(), name="hftpy ib handshake")
        try:
            await asyncio.wait({shaking, over}, return_when=asyncio.FIRST_COMPLETED)
            if not shaking.done():
                reason = self._refusal or self._reason or "closed within the handshake"
                raise ConnectError(f"no connection to {host}:{port} as client {client_id}: {reason}")
            try:
                shaking.result()
            except (OSError, TimeoutError) as error:
                reason = self._refusal or self._reason or f"{type(error).__name__} {error}".strip()
                raise ConnectError(f"no connection to {host}:{port} as client {client_id}: {reason}"[:300]) from error
        finally:
            await end_tasks((shaking, over))

    async def find_details(self, details: Details) -> None:
        """Ask which contracts are meant; those that are known already are not asked for.

        Raises
        ------
        ConnectError
            If the connection ends before the answers are there.
        """
        ib = require_ib_async()
        self._details = details
        details.refused.clear()
        missing = [pair for pair in details.wanted if pair not in details.found]
        for number, pair in enumerate(missing, 1):
            self._asked[number] = pair
        for number, pair in list(self._asked.items()):
            wanted = asdict(details.wanted[pair])
            self._client.reqContractDetails(number, ib.Contract(**wanted))
        while self._asked:
            self._answered.clear()
            try:
                async with asyncio.timeout(DETAILS_TIMEOUT_S):
                    await self._answered.wait()
            except TimeoutError:
                break
            if self._is_closed:
                raise ConnectError(f"the connection ended before the contracts were known: {self._reason}")
        self._asked.clear()
        self._answers.clear()
        self._details = None

    async def send(self, message: str | bytes) -> None:
        if self._is_closed or not self._client.isConnected():
            raise ConnectionResetError("the connection is closed")
        self._client.sendMsg(message if isinstance(message, str) else message.decode())

    async def close(self) -> None:
        self._is_told = True
        self._end("closed")
        transport = self._client.conn.transport
        self._client.disconnect()
        if transport is not None:
            try:
                with contextlib.suppress(TimeoutError):  # a peer that reads nothing any more
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await self._over.wait()
            finally:
                transport.abort()
        # What ib_async still has in its queue must not be sent by its timer.
        self._client.reset()

    def arrived(self, data: bytes) -> list[bytes]:
        """The payloads that a read of the socket completed; empty after the end, which a bad length is too."""
        if self._is_closed:
            return []
        self._on_read(time.time_ns())
        try:
            return self._framer.feed(data)
        except ParseError as error:
            self.fail(str(error))
            return []

    def take(self, payload: bytes) -> None:
        """A payload after the handshake."""
        if not self._asked or not self._take_details(payload):
            self._on_frame(payload)

    def shaking(self, payload: bytes) -> None:
        """A payload that belongs to the handshake, and that ib_async is about to read."""
        self._payload = payload
        if not payload:
            self.fail("the handshake cannot be read: an empty message")

    def _take_details(self, payload: bytes) -> bool:
        """Whether a payload answers one of our requests for details."""
        number = payload.partition(b"\0")[0]
        if number == b"4":
            try:
                notice = read_message(payload, self.server_version)
            except ParseError:
                return False  # to be counted where all others are
            if not isinstance(notice, Notice) or notice.request not in self._asked:
                return False
            if not 2100 <= notice.code < 2200:
                self._settle(notice.request, f"{notice.code}: {notice.text}")
            return True
        if number not in (b"10", b"18", b"52"):
            return False
        before = self._read
        try:
            self._client.decoder.interpret([field.decode("utf-8", "replace") for field in split_fields(payload)])
        except ParseError:
            return False
        return self._read > before  # ib_async only logs what it cannot read

    def fail(self, reason: str) -> None:
        """The connection cannot be used any more."""
        self._end(reason)
        self._client.disconnect()
        self._over.set()

    def _end(self, reason: str) -> None:
        if self._is_closed:
            return
        self._is_closed, self._reason = True, self._refusal or reason
        self._answered.set()
        if not self._is_told:
            self._is_told = True
            self._on_closed(0, self._reason)

    # What ib_async calls, in its own spelling.

    def connectAck(self) -> None:
        """The version is agreed on."""

    def setEventsDone(self) -> None:
        """The socket is closed."""
        self._end("closed by TWS")
        self._over.set()

    def connectionClosed(self) -> None:
        """The socket of a started API is closed; `setEventsDone` was called before."""

    def contractDetails(self, request: int, details: Any) -> None:
        """One contract that fits a request."""
        contract = details.contract
        self._read += 1
        if request in self._asked:
            values = {field.name: getattr(contract, field.name) for field in fields(IBContract)}
            self._answers.setdefault(request, []).append(IBContract(**values))

    bondContractDetails = contractDetails

    def contractDetailsEnd(self, request: int) -> None:
        """All contracts that fit a request are there."""
        self._read += 1
        self._settle(request, None)

    def error(self, request: int, code: int, text: str, _rejection: str = "") -> None:
        """An error or a message within the handshake."""
        if code == CLIENT_ID_IN_USE:
            self._refusal = f"{code}: {text}"
        self._on_frame(self._payload)

    def _api_error(self, text: str) -> None:
        if not text.startswith(("API connection failed", "Peer closed")):
            self._refusal = self._refusal or text

    def _settle(self, request: int, refusal: str | None) -> None:
        pair, answers = self._asked.pop(request, None), self._answers.pop(request, [])
        if pair is None or self._details is None:
            return
        if refusal is None:
            self._details.take(pair, answers)
        else:
            self._details.refused[pair] = refusal
        self._answered.set()


def _make_client(link: IBLink) -> Any:
    """ib_async's client, with our own frames in place of its own, which it reads one by one without any limit."""
    require_ib_async()
    from ib_async.client import Client

    base: Any = Client

    class TwsClient(base):  # type: ignore[misc]  # ib_async is typed in part
        def _onSocketHasData(self, data: bytes) -> None:
            for payload in link.arrived(data):
                if self.isReady():
                    link.take(payload)
                    continue
                link.shaking(payload)
                try:
                    super()._onSocketHasData(frame_of(payload))
                except Exception as error:  # noqa: BLE001  of the handshake: whatever ib_async did not expect
                    link.fail(f"the handshake cannot be read: {type(error).__name__} {error} in {payload[:80]!r}")
                    return

    return TwsClient(link)


async def open_link(
    url: str,
    client_id: int,
    details: Details,
    on_frame: OnFrame,
    on_closed: OnClosed,
    on_read: Callable[[int], None],
) -> IBLink:
    """A link that is ready for subscriptions.

    Raises
    ------
    ConnectError
        If it cannot be made.
    """
    place = urlsplit(url)
    link = IBLink(on_frame, on_closed, on_read)
    try:
        await link.open(place.hostname or "127.0.0.1", place.port or 7497, client_id)
        await link.find_details(details)
    except BaseException:
        await link.close()
        raise
    return link
