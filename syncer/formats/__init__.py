"""The built-in formats: one TOML file each, read by core/formats.py."""
