"""The pipe from a launcher to its child that closes when the launcher ends, however it ends."""

import logging
import os
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

LIFELINE_ENV = "HFT_LIFELINE_FD"
GRACE_S = 10.0


def watch_lifeline(on_end: Callable[[], object]) -> None:
    """Call `on_end` (from a thread) when the process that started this one is gone, and end this process the hard way
    if it still runs `GRACE_S` seconds later. Nothing happens in a process that was not given a lifeline.
    """
    descriptor = os.environ.pop(LIFELINE_ENV, None)
    if descriptor is not None:
        threading.Thread(target=_watch, args=(int(descriptor), on_end), name="lifeline", daemon=True).start()


def _watch(descriptor: int, on_end: Callable[[], object]) -> None:
    while os.read(descriptor, 1):
        pass
    log.warning("process %d: the process that started it is gone", os.getpid())
    try:
        on_end()
    except RuntimeError as error:
        log.warning("process %d is ending already: %s", os.getpid(), error)
    threading.Event().wait(GRACE_S)
    os._exit(1)
