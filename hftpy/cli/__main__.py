"""``python -m hftpy.cli``: the same as the command ``hftpy``."""

from hftpy.cli import main

main()
