"""What is done to a whole database: verify, drift, copy, prune, rename and retire."""
