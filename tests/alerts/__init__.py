"""Consumers of the feed: rules, sinks, delivery."""
