"""The daemon: its schedule, one of it with all that can go wrong, many on one database."""
