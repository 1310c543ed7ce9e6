"""The counters of a command system, by name."""

from hftpy.ipc.command_publisher import CommandPublisher
from hftpy.ipc.dispatcher import CommandDispatcher


def counters(dispatcher: CommandDispatcher, publisher: CommandPublisher) -> dict[str, int]:
    """Commands sent and received, how they ended, how many are held now, and how many peers have joined."""
    receiver, lanes, sender = dispatcher.receiver, dispatcher.lanes, publisher.sender
    return {
        "sent": sender.sent,
        "received": receiver.received,
        "handled": lanes.handled,
        "failed": lanes.failed,
        "duplicates": receiver.duplicates,
        "malformed": receiver.malformed,
        "refused": receiver.refused,
        "no_handler": receiver.no_handler,
        "no_route": sender.dropped,
        "queue_full": lanes.queue_full,
        "held": sender.waiting,
        "peers": len(publisher.peers),
        "acknowledged": sum(1 for peer in sender.peers.values() if peer.boot),
        "open": sender.outstanding,
        "resent": sender.resent,
        "resolved": sender.resolved,
        **{f"ended_{state}": count for state, count in sender.ended.items() if state != "queued"},
        "busy": receiver.busy,
        "expired": receiver.expired,
        "not_allowed": receiver.not_allowed,
        "bad_payload": receiver.bad_payload,
        "unknown": receiver.unknown,
        "malformed_answers": publisher.malformed,
        "refused_answers": sender.refused,
        "waiting": lanes.waiting,
    }
