"""Another tool: `dlt_scd2.py dicts|arrow URL DATABASE FOLDER`: dlt's scd2 merge of the same catalog.

Run by a Python with `dlt[sqlalchemy,postgres,parquet]` and without syncer. FOLDER holds dlt's working state.

- `dicts` is what dlt's documentation shows for an API: types are declared, dlt makes the hash of each row. Parquet on
  SQLite (csv on PostgreSQL) is the fastest of the loader's file formats; below 10,000 rows the default one is.
- `arrow` is the fastest that was found: the rows as an Arrow table, with hashes made here.
"""

import hashlib
import json
import sys
import urllib.request
from decimal import Decimal
from typing import Any

import dlt  # type: ignore[import-not-found]
from dlt.destinations import postgres, sqlalchemy  # type: ignore[import-not-found]

_COLUMNS = {
    "model_name": "text",
    "model_alias": "text",
    "model_type": "text",
    "context_length": "text",
    "max_completion_tokens": "bigint",
    "description": "text",
    "price": "decimal",
    "huggingface_url": "text",
}
_MANY = 10_000
_HASH = "row_hash"
Models = list[dict[str, Any]]


def _fetch(url: str) -> Models:
    request = urllib.request.Request(f"{url}/serverless/models", headers={"Authorization": "Bearer bench"})
    with urllib.request.urlopen(request) as response:
        models: Models = json.loads(response.read(), parse_float=Decimal)["data"]["models"]
    return models


def _arrow(models: Models) -> Any:
    import pyarrow as pa

    types = {"text": pa.string(), "bigint": pa.int64(), "decimal": pa.decimal128(33, 18)}
    fields = [(name, types[kind]) for name, kind in _COLUMNS.items()]
    for model in models:
        model[_HASH] = hashlib.blake2b(repr(model).encode(), digest_size=16).hexdigest()
        model["price"] = Decimal(model["price"])
    return pa.Table.from_pylist(models, pa.schema([*fields, (_HASH, pa.string())]))


def main() -> None:
    """Fetch and merge."""
    how, url, database, folder = sys.argv[1:]
    models = _fetch(url)
    sqlite = database.startswith("sqlite")
    scd2: dict[str, Any] = {"disposition": "merge", "strategy": "scd2"}
    given: dict[str, Any] = {"columns": {name: {"data_type": kind} for name, kind in _COLUMNS.items()}}
    if how == "arrow":
        scd2["row_version_column_name"] = _HASH
        given = {}
    if len(models) >= _MANY:
        given["file_format"] = "parquet" if sqlite else "csv"
    data = [_arrow(models)] if how == "arrow" else [models]
    pipeline = dlt.pipeline(
        "bench",
        # dlt wants a host and a password; the `host` in the URL's query, the socket, has the last word.
        destination=sqlalchemy(database) if sqlite else postgres(database.replace("@/", ":none@localhost/")),
        dataset_name="main" if sqlite else "bench",
        pipelines_dir=folder,
    )
    pipeline.run(dlt.resource(data, name="models", write_disposition=scd2, max_table_nesting=0, **given))


if __name__ == "__main__":
    main()
