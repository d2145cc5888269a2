#!/usr/bin/env bash
# Installs what only the bench needs: its npm packages, and, as root on Debian, the servers beside
# PostgreSQL. Whatever cannot be installed is named at the end; the bench runs without it, and
# shows the contenders that need it as missing.
set -uo pipefail
cd "$(dirname "$0")"

if [ -f package-lock.json ]; then npm ci; else npm install --omit-lockfile-registry-resolved; fi || packages=missing

# Debian's package, and the file or program by which it is known to be there.
servers='redis-server:redis-server etcd-server:etcd zookeeper:/usr/share/java/zookeeper.jar default-jre-headless:java'

missing_servers() {
  local pair
  for pair in $servers; do
    command -v "${pair#*:}" > /dev/null || [ -f "${pair#*:}" ] || echo "${pair%%:*}"
  done
}

if [ -n "$(missing_servers)" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  # The packages would start their servers: the bench starts its own, on free ports.
  policy=/usr/sbin/policy-rc.d
  own_policy=
  if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  # shellcheck disable=SC2046
  apt-get update -q && apt-get install -y -q --no-install-recommends $(missing_servers)
  [ -n "$own_policy" ] && rm -f "$policy" && trap - EXIT
fi

status=0
if [ -n "${packages:-}" ]; then
  echo 'The npm packages of bench/package.json could not be installed.'
  status=1
fi
for server in $(missing_servers); do
  echo "$server is not installed. On Debian, as root: apt-get install $server"
  status=1
done
[ "$status" = 0 ] && echo 'All that the bench needs is there.'
exit "$status"
