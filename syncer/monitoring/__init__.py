"""What other programs need to watch and to run syncer: a Grafana dashboard, Prometheus rules, systemd units."""
