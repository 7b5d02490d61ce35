"""The settings: what a file and the environment say, and what is answered to what cannot be."""
