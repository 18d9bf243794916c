#!/bin/sh
# Installs Debian packages as root so that no service starts, and leaves everything else as it was found.
# usage: apt.sh PACKAGE...      HONGBAO_ROOT is put before the fixed paths (for tests).
set -eu

root=${HONGBAO_ROOT:-}
guard=$root/usr/sbin/policy-rc.d
found=$guard.found-by-hongbao
mark='# hongbao: no service starts while packages are installed'

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none LC_ALL=C.UTF-8

# One at a time, among ourselves; apt itself waits for other users of its own lock.
mkdir -p "$root/run/lock"
exec 9>"$root/run/lock/hongbao-install.lock"
flock 9

restore() {
  if grep -qsF "$mark" "$guard"; then rm -f "$guard"; fi
  if [ -e "$found" ] || [ -L "$found" ]; then mv -f "$found" "$guard"; fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
restore # what an installation that was killed left behind

# invoke-rc.d asks this file; 101 is "forbidden". Should we be killed, it steps aside by itself.
if [ -e "$guard" ] || [ -L "$guard" ]; then mv "$guard" "$found"; fi
cat > "$guard" <<GUARD
#!/bin/sh
$mark
[ -d /proc/$$ ] && exit 101
[ -x $found ] && exec $found "\$@"
exit 0
GUARD
chmod 755 "$guard"

apt() {
  apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Dpkg::Use-Pty=0 "$@" 9>&-
}

# Nothing is removed, but for one library that another provides: nginx's Lua brings its own build of LuaJIT, which takes the
# place of the one that wrk came with, and wrk runs on either.
may_remove() {
  removed=$(apt -s --no-install-recommends install "$@" | sed -n 's/^Remv \([^ ]*\) .*/\1/p')
  [ -n "$removed" ] || return 1
  for name in $removed; do
    case $name in libluajit-5.1-2 | libluajit-5.1-common) ;; *) return 1 ;; esac
  done
}

install() {
  if may_remove "$@"; then keep=''; else keep=--no-remove; fi
  apt -y --no-install-recommends ${keep:+"$keep"} -o Dpkg::Options::=--force-confold install "$@"
}

lists_missing=no
for package in "$@"; do
  apt-cache show "$package" >/dev/null 2>&1 || lists_missing=yes
done
# A source that is away is no reason to stop: what matters is whether the packages can be had.
if [ "$lists_missing" = yes ]; then apt update || true; fi
if ! install "$@"; then
  # Old lists point to versions that the mirror no longer has.
  apt update || true
  install "$@"
fi

# Nor shall they come up at the next boot: nobody asked for system-wide servers.
if command -v systemctl >/dev/null 2>&1; then
  for package in "$@"; do
    for unit in $(dpkg -L "$package" 2>/dev/null | sed -n 's|^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.service\)$|\2|p'); do
      systemctl disable "$unit" >/dev/null 2>&1 || true
    done
  done
fi
