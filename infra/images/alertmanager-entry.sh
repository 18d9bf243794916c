#!/bin/sh
# Writes the configuration with this event's topics and runs Alertmanager, which publishes with the task's own role.
set -eu
umask 077
config=/alertmanager/alertmanager.yml
receiver() { # name, topic
  printf '  - name: %s\n    sns_configs: [{ topic_arn: "%s", sigv4: { region: "%s" }, send_resolved: true }]\n' "$1" "$2" "$AWS_REGION"
}
{
  printf 'route:\n  receiver: ticket\n  group_by: [alertname, bucket]\n  group_wait: 5s\n  group_interval: 30s\n  repeat_interval: 15m\n'
  printf '  routes:\n    - matchers: [severity = "page"]\n      receiver: page\n'
  printf 'receivers:\n'
  receiver page "$PAGE_TOPIC_ARN"
  receiver ticket "$TICKET_TOPIC_ARN"
} > "$config"
exec /bin/alertmanager --config.file="$config" --storage.path=/alertmanager/data --cluster.listen-address=
