"""The tree in the docstring of hftpy.errors is the tree of the classes."""

import inspect
import re

import hftcore.errors
import hftpy.errors
from hftpy.errors import HftError, RequestRejected, RequestUnknown, VenueError

LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>\w+)(?: \((?P<mixin>\w+)\))?(?:  |$)")


def documented() -> dict[str, tuple[str | None, str | None]]:
    """name -> (parent, mixed-in builtin) as the docstring draws it."""
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[tuple[int, str]] = []
    lines = (inspect.getdoc(hftpy.errors) or "").splitlines()
    for line in lines[lines.index("HftError") :]:
        match = LINE.match(line)
        if match is None:
            continue
        depth = len(match["indent"]) // 4
        while path and path[-1][0] >= depth:
            path.pop()
        found[match["name"]] = (path[-1][1] if path else None, match["mixin"])
        path.append((depth, match["name"]))
    return found


def actual() -> dict[str, tuple[str | None, str | None]]:
    found: dict[str, tuple[str | None, str | None]] = {}
    for module in (hftcore.errors, hftpy.errors):
        for name, item in vars(module).items():
            if inspect.isclass(item) and issubclass(item, HftError):
                ours = [base.__name__ for base in item.__bases__ if issubclass(base, HftError)]
                mixins = [base.__name__ for base in item.__bases__ if not issubclass(base, HftError)]
                root = item is HftError
                found[name] = (ours[0] if ours else None, None if root or not mixins else mixins[0])
    return found


def test_the_tree_is_true():
    assert documented() == actual()


def test_all_are_exported():
    assert set(actual()) <= set(hftpy.errors.__all__)


def test_the_core_s_errors_are_the_same_classes():
    assert hftpy.errors.HftError is hftcore.errors.HftError
    assert hftpy.errors.ParseError is hftcore.errors.ParseError


def test_venue_errors_say_what_is_known():
    error = RequestRejected("refused", code="EOrder:Insufficient funds", retryable=True)
    assert (error.code, error.retryable, error.outcome) == ("EOrder:Insufficient funds", True, "rejected")
    assert str(error) == "refused"
    unknown = RequestUnknown("no answer")
    assert isinstance(unknown, VenueError)
    assert (unknown.code, unknown.retryable, unknown.outcome) == ("", False, "unknown")
