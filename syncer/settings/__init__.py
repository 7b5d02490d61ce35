"""`syncer.toml` and `SYNCER_*`, read once, to one frozen `Settings`. Nothing else in syncer reads the environment.

    syncer.toml                                environment (wins over the file; an empty variable counts as unset)
    database_url = "sqlite:///syncer.db"       SYNCER_DATABASE_URL
    save_bodies = "bodies"                     SYNCER_API_URL   the url of the source `default`, made if need be
    heartbeat_url_env = "BEAT_URL"
    [[sources]]                                SYNCER_API_KEY   the key of the source `default`
    name = "main"                              SYNCER_FORMAT    its format; one that brings a URL makes a source of its
    url = "https://..."                                         own name where there is no SYNCER_API_URL
    api_key_env = "MAIN_KEY"                   SYNCER_TRUST     on | off, for *every* source, whatever the file says

    [[alerts]]                                 a consumer of the feed; exactly one address (url, url_env, command, file,
    name = "team"                              ...: each sink registers its own, see sinks.py) says where its events go
    url_env = "TEAM_WEBHOOK"

    [formats.acme]                             how a catalog is written (syncer.core.formats)

- Each setting is one field with its rule (model.py); one reader reads them all (reading.py), and finds all mistakes.
- A source that only the environment describes needs SYNCER_API_KEY, if its format asks for a key; one in the file
  without `api_key_env` and `api_key_file` is open and gets no key.
- A relative path in a file is relative to that file: `save_bodies`, `api_key_file`, an alert's `file`, a program with a
  "/" in it (./on-change), and the path of a SQLite `database_url`, the default one too. One on the command line or in a
  variable is relative to the current directory.
- A key that nobody knows is refused with the nearest right name: a setting that is silently ignored is worse than none.
- What only a person asks for is not imported here: `checking.check`, `describing.describe` and `to_toml`.
- No secret is in a message (law 11). Settings that may hold one by mistake (URLs, where a key is) are never quoted; an
  address to which alerts go is a secret itself.
- A number with a fraction stays the decimal that was written (law 4).
"""

from syncer.core.masking import mask_url
from syncer.settings.durations import format_duration, parse_duration
from syncer.settings.formats import format_of
from syncer.settings.loading import load, unconfigured_trust
from syncer.settings.model import FILE, AlertSettings, Settings, SourceSettings
from syncer.settings.rules import Secret
from syncer.settings.secrets import read_api_key, read_headers, read_heartbeat_url, read_web_token

__all__ = [
    "FILE",
    "AlertSettings",
    "Secret",
    "Settings",
    "SourceSettings",
    "format_duration",
    "format_of",
    "load",
    "mask_url",
    "parse_duration",
    "read_api_key",
    "read_headers",
    "read_heartbeat_url",
    "read_web_token",
    "unconfigured_trust",
]
