"""All that syncer does for whoever asks: the command line, the daemon, the web face, a Python program (`syncer.open`).

- Nothing here prints, parses arguments or reads the clock; what a person is told is made of what is returned.
- Each source and each consumer has its turn: what went wrong with one is in its outcome, and keeps no other waiting.
- Only `sync` and `import_history` create a database that is not there yet; nothing creates one for a question.
"""

from syncer.service.context import policies, process_name
from syncer.service.outcomes import DeliveryOutcome, Imported, SyncOutcome, Tried, raise_bugs, raise_errors
from syncer.service.syncer import Syncer

__all__ = [
    "DeliveryOutcome",
    "Imported",
    "SyncOutcome",
    "Syncer",
    "Tried",
    "policies",
    "process_name",
    "raise_bugs",
    "raise_errors",
]
