"""The compiled core of hftpy: types, parsers, rings. It imports nothing from hftpy."""

from pathlib import Path

try:
    from hftcore.types import build_mode
except ImportError as error:  # pragma: no cover - only without a build
    raise ImportError(
        f"hftcore's compiled modules could not be loaded ({error}): install the wheel, or build with 'make setup'"
    ) from error

__all__ = ["build_mode", "get_include"]


def get_include() -> str:
    """The folder of the C++ headers that extensions need which cimport hftcore.

    It belongs into the `include_dirs` of the extension. The .pxd files stand in the package itself, where Cython finds
    them; of an editable install, only if the folder that holds `hftcore` is in the `include_path` of `cythonize`.
    """
    return str(Path(__file__).parent / "include")
