"""Which products were asked for, message by message, until the venue has answered for each of them."""

from collections.abc import Callable, Iterable, Sequence

from hftpy.exchange.market import MarketProtocol

LEFT_OUT = "left out of the venue's list of subscriptions"


class ProductRequests:
    """The subscribe messages of one connection, in their order, for a venue that numbers none of them.

    A refusal that names no product is the answer to the oldest message; one of several products is then asked again
    product by product, so that the wrong one is found and the others go on.

    Parameters
    ----------
    protocol
        Whose `natives` are asked for, and whose `pending`, `refused` and `to_send` show the answers.
    encode
        From the venue's spellings of some products to the message that subscribes them.
    per_message
        Products in one message.
    """

    def __init__(self, protocol: MarketProtocol, encode: Callable[[Sequence[str]], str], per_message: int) -> None:
        self._protocol = protocol
        self._encode = encode
        self._per_message = per_message
        self._asked: list[list[str]] = []
        self._first_round = 0  # how many of them were sent on connecting

    @property
    def waiting(self) -> bool:
        """Whether any product is without an answer."""
        return any(self._open_of(request) for request in self._asked)

    def begin(self) -> list[str]:
        """The messages that subscribe everything on a new connection."""
        self._asked.clear()
        messages = self._ask(list(self._protocol.natives), self._per_message)
        self._first_round = len(messages)
        return messages

    def acknowledge(self, products: Iterable[object]) -> None:
        """The venue says that it sends these products."""
        spellings = self._protocol.spellings()
        for product in products:
            pair = spellings.get(product) if isinstance(product, str) else None
            if pair is not None:
                self._protocol.pending.discard(pair)

    def end_first_round(self) -> None:
        """Everything that was sent on connecting is answered: what was not acknowledged has been left out."""
        for request in self._asked[: self._first_round]:
            for native in self._open_of(request):
                self._refuse(native, LEFT_OUT)
        self._first_round = 0

    def refuse(self, reason: str, product: str = "") -> bool:
        """The venue refused one product, or where it names none, the oldest message; False if there is no such."""
        natives = self._protocol.natives
        if product in natives:
            if natives[product] not in self._protocol.pending:
                return False
            self._refuse(product, reason)
            return True
        for index, request in enumerate(self._asked):
            open_products = self._open_of(request)
            if len(open_products) == 1:
                self._refuse(open_products[0], reason)
                return True
            if open_products:
                self._asked[index] = []
                self._protocol.to_send += self._ask(open_products, 1)
                return True
        return False

    def refuse_all(self, reason: str) -> None:
        """The venue refused everything that it has not answered yet."""
        for native, pair in self._protocol.natives.items():
            if pair in self._protocol.pending:
                self._refuse(native, reason)

    def _ask(self, natives: list[str], size: int) -> list[str]:
        requests = [natives[start : start + size] for start in range(0, len(natives), size)]
        self._asked += requests
        return [self._encode(request) for request in requests]

    def _open_of(self, request: list[str]) -> list[str]:
        natives, pending = self._protocol.natives, self._protocol.pending
        return [native for native in request if natives[native] in pending]

    def _refuse(self, native: str, reason: str) -> None:
        pair = self._protocol.natives[native]
        self._protocol.pending.discard(pair)
        self._protocol.refused[pair] = reason
