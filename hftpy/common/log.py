"""Logging set-up of a process, and a logger that does not flood."""

import logging
import time

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(process)d %(name)s: %(message)s"


def configure_logging(level: str = "INFO") -> None:
    """Log to standard error, unless the root logger is configured already.

    Raises
    ------
    ValueError
        If `level` is no level's name.
    """
    logging.basicConfig(level=level.upper(), format=FORMAT, datefmt="%Y-%m-%d %H:%M:%S")


class RateLimited:
    """Logs at most one message per key and interval, and says how many it left out.

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

    def log(self, level: int, key: str, message: str, *args: object, exc_info: bool = False) -> None:
        """Log now, or count it for the next message of `key`."""
        now = time.monotonic()
        if now < self._next.get(key, 0.0):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._next[key] = now + self._interval_s
        left_out = self._left_out.pop(key, 0)
        suffix = f" ({left_out} more like it were left out)" if left_out else ""
        self._logger.log(level, message + suffix.replace("%", "%%"), *args, exc_info=exc_info)
