"""The tests mirror the package; those of the whole (replay, oracle, faults, README, house) stand beside."""
