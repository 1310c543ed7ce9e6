"""What a peer that is known by its key may subscribe and say to a sender of commands. No sockets here."""

from collections import Counter

from hftcore.topic import check_process_id, subscriptions_of
from hftpy.ipc.command_audit import TAIL_TOPIC
from hftpy.ipc.command_protocol import PREFIX, peer_of, protocol_topic


class KeyedPeers:
    """Holds peers to their names: whoever has the key of ``mm1`` joins, leaves and answers as ``mm1`` alone.

    A socket cannot refuse a subscription: the peer that made it may read what it asked for. But it does not count as
    the process that it is not, so that commands still wait for that one and are answered by it alone.

    Attributes
    ----------
    forged
        Subscriptions and answers in the name of another process.
    """

    def __init__(self) -> None:
        self.forged = 0
        self._ignored: Counter[bytes] = Counter()

    def clear(self) -> None:
        """All connections have ended."""
        self._ignored.clear()

    def joins(self, prefix: bytes, who: str | None) -> bool:
        """Whether a subscription counts; `who` is None for a peer of this host, which needs no key."""
        if who is None or _is_own(prefix, who):
            return True
        self._ignored[prefix] += 1
        if _names(prefix) is not None:
            self.forged += 1
        return False

    def leaves(self, prefix: bytes, who: str | None) -> bool:
        """Whether the end of a subscription counts.

        Where a connection ends, nobody says whose it was: while somebody else has subscribed the same, nobody has left.
        """
        if who is not None and _is_own(prefix, who):
            return True
        if self._ignored[prefix] > 0:
            self._ignored[prefix] -= 1
            if not self._ignored[prefix]:
                del self._ignored[prefix]
            return False
        if who is not None:
            self.forged += 1
            return False
        return True

    def answers(self, sender_id: str, who: str | None) -> bool:
        """Whether an answer is what its key says."""
        if who is None or who == sender_id:
            return True
        self.forged += 1
        return False


def _is_own(prefix: bytes, who: str) -> bool:
    if prefix.startswith(PREFIX):
        return prefix == protocol_topic(who)
    if prefix == TAIL_TOPIC:
        return True
    # Commands to it, to all, and to its groups; of whatever type.
    return prefix.rpartition(b".")[0] + b"." in subscriptions_of(who)


def _names(prefix: bytes) -> str | None:
    """The process that a subscription is for; None: no one process."""
    if prefix.startswith(PREFIX):
        return peer_of(prefix)
    try:
        return check_process_id(prefix.rpartition(b".")[0].decode())
    except ValueError:
        return None
