"""The commands as a person, cron and a pipe meet them."""
