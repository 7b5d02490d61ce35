"""The HTTP client: catalogs, webhooks and the heartbeat go through it, and nothing else imports httpx.

- The deadline is hard: it ends a slow name look-up, connect, TLS handshake, head and body alike.
- A body is bounded: at most one piece beyond the limit on decoded bytes is ever decoded. Of a refusal an excerpt is
  read, for a second at most.
- A redirect is never followed here: whoever sends decides whether it leads to where the secrets may go.
- What the other side says is shown printable (law 12) and without the secrets that it may repeat (law 11).
- The proxy comes from the environment and is named in each sentence that it has a part in, without its password.
- No answer is one NoAnswer, whose text is a whole sentence: what happened, to whom, what to do next.
"""

from syncer.http_client.answer import SUCCESS, Answer, Limits, NoAnswer, Peer
from syncer.http_client.client import Client
from syncer.http_client.deadline import run_with_deadline
from syncer.http_client.headers import LONGEST_RETRY_AFTER, delta_seconds, header_fault, http_date, retry_after
from syncer.http_client.redaction import escape, redact, redact_bytes, url_secrets

__all__ = [
    "LONGEST_RETRY_AFTER",
    "SUCCESS",
    "Answer",
    "Client",
    "Limits",
    "NoAnswer",
    "Peer",
    "delta_seconds",
    "escape",
    "header_fault",
    "http_date",
    "redact",
    "redact_bytes",
    "retry_after",
    "run_with_deadline",
    "url_secrets",
]
