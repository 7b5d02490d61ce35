"""The pure part: values in, values out. No clock, no I/O, no SQL, no HTTP, no logging (an import contract keeps it)."""
