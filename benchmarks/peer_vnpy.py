"""vnpy's event engine as a peer (T16): `put(Event(type, data))` in one thread, the handler called in the engine's own.

Needs only vnpy.event, which imports nothing beyond the standard library (see requirements-no-deps.txt).
"""

from vnpy.event import Event, EventEngine

__all__ = ["Event", "EventEngine"]
