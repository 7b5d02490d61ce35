"""What leaves syncer for other tools: the one event shape."""
