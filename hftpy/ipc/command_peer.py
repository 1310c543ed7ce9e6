"""A process that commands go to, as their sender knows it. No sockets here."""

from collections import OrderedDict, deque

from hftpy.ipc.sent_command import Delivery


class Peer:
    """A process that commands go to."""

    __slots__ = (
        "asks", "boot", "ended", "fin", "gone", "hello_at", "hello_interval", "inflight", "joined", "left", "name",
        "queue", "received", "unknown", "urgent",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.joined = False  # it subscribes the protocol
        self.boot = ""  # its life, once it has said so: its commands are acknowledged
        self.hello_at = self.hello_interval = 0.0
        self.queue: deque[Delivery] = deque()
        self.urgent: deque[Delivery] = deque()
        self.ended = False  # some that wait may have ended
        self.inflight: dict[str, Delivery] = {}
        self.received: dict[str, Delivery] = {}
        self.unknown: OrderedDict[str, Delivery] = OrderedDict()
        self.asks: list[Delivery] = []
        self.gone: dict[str, list[int]] = {}
        self.fin: dict[str, list[int]] = {}

    @property
    def idle(self) -> bool:
        return not (self.joined or self.queue or self.urgent or self.inflight or self.received)
