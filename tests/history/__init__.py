"""Questions about the past, answered against real histories on both databases."""
