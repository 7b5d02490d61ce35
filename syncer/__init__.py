"""syncer keeps a history of an AI model catalog that can be trusted.

    from syncer import history

The command line is `syncer --help`; the data contract stands in the README. Importing this package loads nothing else.
"""

__version__ = "0.1.0"
