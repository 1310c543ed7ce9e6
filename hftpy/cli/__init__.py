"""``hftpy …``: the only place that prints."""

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the command."""
    try:
        from hftpy.cli.app import main as run
    except KeyboardInterrupt:  # Ctrl-C while the modules are read: no traceback
        sys.exit(130)
    run()
