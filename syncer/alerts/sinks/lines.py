"""The events of a message one by one, byte for byte as they stand in its body."""

import msgspec

from syncer.alerts.message import Message


def raw_events(message: Message) -> list[bytes]:
    """The JSON of each event, on one line."""
    # JSON holds line breaks between its tokens only.
    return [bytes(raw).replace(b"\n", b" ") for raw in msgspec.json.decode(message.body, type=list[msgspec.Raw])]


def json_lines(message: Message) -> bytes:
    """The events as JSON lines, the last one ended too."""
    return b"".join(raw + b"\n" for raw in raw_events(message))
