"""How a setting is shown in a message: bounded, with the nearest right name, and never a secret (law 11)."""

from collections.abc import Iterable


def quoted(value: object) -> str:
    """A value as a person wrote it, short enough for a message."""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that refuses `word`: the nearest right one, or nothing but the full stop."""
    from difflib import get_close_matches

    near = get_close_matches(word, tuple(known), n=1, cutoff=0.5)
    return f". Did you mean {near[0]!r}?" if near else "."
