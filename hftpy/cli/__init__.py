"""``hftpy …``: the only place that prints."""

from hftpy.cli.app import main

__all__ = ["main"]
