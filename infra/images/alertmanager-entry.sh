#!/bin/sh
# Puts this event's topics into the configuration and runs Alertmanager, which publishes with the task's own role.
set -eu
umask 077
from=${CONFIG_FROM:-/etc/alertmanager} work=${CONFIG_WORK:-/alertmanager}
sed -e "s|arn-of-page-topic|${PAGE_TOPIC_ARN:?}|g" -e "s|arn-of-ticket-topic|${TICKET_TOPIC_ARN:?}|g" \
  -e "s|region-of-topics|${AWS_REGION:?}|g" "$from/alertmanager.yml" > "$work/alertmanager.yml"
exec "${PROGRAM:-/bin/alertmanager}" --config.file="$work/alertmanager.yml" --storage.path="$work/data" --cluster.listen-address=
