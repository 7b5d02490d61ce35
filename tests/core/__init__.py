"""The pure part, tried without a clock, a network or a database."""
