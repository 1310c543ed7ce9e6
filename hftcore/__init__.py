"""The compiled core of hftpy: types, parsers, rings. It imports nothing from hftpy."""

try:
    from hftcore.types import build_mode
except ImportError as error:  # pragma: no cover - only without a build
    raise ImportError(
        f"hftcore's compiled modules could not be loaded ({error}): install the wheel, or build with 'make setup'"
    ) from error

__all__ = ["build_mode"]
