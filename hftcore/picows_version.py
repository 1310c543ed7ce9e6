"""Which picows the native listener is built against. setup.py reads it too; pyproject.toml pins the same."""

from importlib.metadata import PackageNotFoundError, version

PICOWS_VERSION = "2.3.1"


def picows_complaint() -> str:
    """Why `hftcore.ws_listener` must not be imported here; empty where it may be."""
    try:
        found = version("picows")
    except PackageNotFoundError:
        return f"picows is not installed, the native listener needs {PICOWS_VERSION}"
    if found != PICOWS_VERSION:
        return f"the native listener needs picows {PICOWS_VERSION}, installed is {found}"
    return ""
