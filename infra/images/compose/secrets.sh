#!/bin/sh
# Makes secrets.env, once.
set -eu
cd "$(dirname -- "$0")"
[ -e secrets.env ] && exit 0
umask 077
word() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
mysql=$(word)
for name in TOKEN RECEIPT OPERATOR SPOP REDIS; do printf 'HONGBAO_%s=%s\n' "$name" "$(word)"; done > secrets.env
printf 'HONGBAO_MYSQL=%s\nMYSQL_ROOT_PASSWORD=%s\n' "$mysql" "$mysql" >> secrets.env
