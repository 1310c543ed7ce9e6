"""Logging set-up of a process, and a logger that does not flood."""

import logging
import time

MAX_KEYS = 1024
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(process)d %(name)s: %(message)s"


def configure_logging(level: str = "INFO") -> None:
    """Log to standard error, unless the root logger is configured already.

    Raises
    ------
    ValueError
        If `level` is no level's name.
    """
    logging.basicConfig(level=level.upper(), format=FORMAT, datefmt="%Y-%m-%d %H:%M:%S")


class LimitedLog:
    """Logs at most one message per key and interval, and says how many it left out: a flood of bad input is no flood
    of log lines.

    Parameters
    ----------
    logger
        Where to.
    interval_s
        Seconds between two messages of one key.
    """

    def __init__(self, logger: logging.Logger, interval_s: float = 5.0) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def log(
        self, level: int, key: str, message: str, *args: object, exc_info: BaseException | bool | None = None
    ) -> None:
        """Log now, or count it for the next message of `key`."""
        now = time.monotonic()
        if now < self._next.get(key, 0.0):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        if len(self._next) >= MAX_KEYS:  # keys may come from outside
            self._next.clear()
            self._left_out.clear()
        self._next[key] = now + self._interval_s
        left_out = self._left_out.pop(key, 0)
        suffix = f" ({left_out} more like it were left out)" if left_out else ""
        self._logger.log(level, message + suffix, *args, exc_info=exc_info)

    def warning(self, key: str, message: str, *args: object, exc_info: BaseException | bool | None = None) -> None:
        """`log` a warning."""
        self.log(logging.WARNING, key, message, *args, exc_info=exc_info)


def shown(frame: bytes, limit: int = 120) -> str:
    """The beginning of a frame, for a log line."""
    return f"{frame[:limit]!r}{'…' if len(frame) > limit else ''} ({len(frame)} bytes)"
