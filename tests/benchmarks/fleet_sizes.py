"""How large the fleet is; apart, because its upstream is a process of its own."""

SOURCES, MODELS, DAEMONS = 1_000, 500, 4
