#!/bin/sh
# Puts this event's namespace into the configuration and runs Prometheus. Whom it asks the controllers say.
set -eu
umask 077
from=${CONFIG_FROM:-/etc/prometheus} work=${CONFIG_WORK:-/prometheus}
sed "s|namespace\.internal|${HONGBAO_NAMESPACE:?}|g" "$from/prometheus.yml" > "$work/prometheus.yml"
exec "${PROGRAM:-/bin/prometheus}" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=7d
