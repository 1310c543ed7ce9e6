"""What exceptions say, as it can be sent."""


def sendable(text: str) -> str:
    """A text as JSON can hold it: half a surrogate pair, of a file's name for example, is written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def text_of(error: BaseException) -> str:
    """The name of an exception and what it says; an exception's own class may do anything when it is asked."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as wrong:  # noqa: BLE001 - as said above; what went wrong is what is returned
        text = f"its text cannot be had: {type(wrong).__name__}"
    return sendable(f"{name}: {text}" if text else name)
