"""How SAJE writes things down."""

from math import isfinite

import ujson

MAX_DEPTH = 64
"""How many levels of nesting a message may have. JSON parsers give up at about a
thousand, not all at the same number, and all of them can read far fewer."""


def encode(value: object) -> str:
    """Write a value as one line of JSON that reads back as the same value.

    Args:
        value: A message, or the result of a task.

    Returns:
        Compact JSON without line breaks.

    Raises:
        ValueError: It wouldn't read back as the same value. It holds NaN or Infinity, a
            broken character (half of a surrogate pair), a key that isn't text, or an
            object that JSON has no form for, or it is nested too deeply (MAX_DEPTH).
    """
    _check(value, MAX_DEPTH)
    line = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    line.encode()  # raises UnicodeEncodeError, a ValueError, for half of a pair
    return line


def _check(value: object, levels: int) -> None:
    """Raise ValueError unless JSON can hold a value.

    ujson alone would let too much pass: it turns the key 1 into "1", and calls the
    `__json__` of objects that have one.
    """
    if isinstance(value, dict | list | tuple) and not levels:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r:.50} isn't text")
            _check(child, levels - 1)
    elif isinstance(value, list | tuple):
        for child in value:
            _check(child, levels - 1)
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"JSON has no {value}")
    elif value is not None and not isinstance(value, str | int):
        raise ValueError(f"JSON has no form for the type {type(value).__name__}")
