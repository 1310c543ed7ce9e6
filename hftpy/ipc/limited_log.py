"""Warnings that a flood of bad input cannot turn into a flood of log lines."""

import logging
import time


class LimitedLog:
    """Logs at most one line per key and interval; the next line says how many were left out.

    Parameters
    ----------
    logger
        Where the lines go.
    interval_s
        The least time between two lines of one key.
    """

    def __init__(self, logger: logging.Logger, interval_s: float = 5.0) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._last: dict[str, tuple[float, int]] = {}

    def warning(self, key: str, message: str, *args: object, exc_info: bool = False) -> None:
        """Log a warning, unless one of this key was logged just now."""
        now = time.monotonic()
        last, left_out = self._last.get(key, (-self._interval_s, 0))
        if now - last < self._interval_s:
            self._last[key] = (last, left_out + 1)
            return
        self._last[key] = (now, 0)
        if left_out:
            message += f" ({left_out} more since the last line)"
        self._logger.warning(message, *args, exc_info=exc_info)


def shown(frame: bytes, limit: int = 120) -> str:
    """The beginning of a frame, for a log line."""
    return f"{frame[:limit]!r}{'…' if len(frame) > limit else ''} ({len(frame)} bytes)"
