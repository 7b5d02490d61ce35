"""Floor "start": a process that only imports the libraries which a sync cannot do without."""

import click
import httpx
import sqlalchemy

__all__ = ["click", "httpx", "sqlalchemy"]
