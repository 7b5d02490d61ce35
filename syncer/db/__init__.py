"""SQL lives here: the engine, the tables, the views and the statements of a sync."""
