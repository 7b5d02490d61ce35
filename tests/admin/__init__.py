"""The work on whole databases."""
