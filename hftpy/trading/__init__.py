"""Orders and matching; no sockets."""

from hftpy.trading.matching import BookOrder, Fill, MatchingBook

__all__ = ["BookOrder", "Fill", "MatchingBook"]
