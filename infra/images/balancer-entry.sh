#!/bin/sh
# HAProxy wants its certificate as a file; ECS hands it over in the environment, from where it goes no further.
set -eu
umask 077
if [ -n "${HONGBAO_TLS_PEM:-}" ]; then
  printf '%s\n' "$HONGBAO_TLS_PEM" > /var/lib/hongbao/tls.pem
  unset HONGBAO_TLS_PEM
fi
exec /app/hongbao "$@"
