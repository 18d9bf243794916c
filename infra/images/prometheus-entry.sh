#!/bin/sh
# Writes the configuration for this event's namespace and runs Prometheus. Each role has a name in the namespace; a name answers with
# eight addresses at most, in changing order, so of a bucket with more services Prometheus sees all within a few refreshes.
set -eu
umask 077
config=/prometheus/prometheus.yml
target() { # job, name, port
  printf '  - job_name: %s\n    dns_sd_configs: [{ names: ["%s.%s"], type: A, port: %s, refresh_interval: 5s }]\n' "$1" "$2" "$HONGBAO_NAMESPACE" "$3"
}
{
  printf 'global: { scrape_interval: 5s, evaluation_interval: 5s }\n'
  printf 'rule_files: [/etc/prometheus/rules/*.yml]\n'
  printf 'alerting: { alertmanagers: [{ static_configs: [{ targets: ["127.0.0.1:9093"] }] }] }\n'
  printf 'scrape_configs:\n'
  target balancer balancer 9101
  for id in c0 c1; do target "controller-$id" "$id" 9100; done
  for bucket in $(printf '%s' "$HONGBAO_BUCKETS" | tr , ' '); do
    for role in grab persist payout; do target "$role-$bucket" "$role-$bucket" 9100; done
  done
} > "$config"
exec /bin/prometheus --config.file="$config" --storage.tsdb.path=/prometheus/data --storage.tsdb.retention.time=7d
