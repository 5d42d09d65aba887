#!/usr/bin/env bash
# Installs the programs that read the files of deploy/, with apt, where they are
# missing: task check:deploy runs its tests with them.
set -euo pipefail

packages=()
want() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || packages+=("$2"); }
want systemd-analyze systemd
want nginx nginx-light
want haproxy haproxy
want promtool prometheus
want curl curl
want shellcheck shellcheck
[ "${#packages[@]}" -eq 0 ] && exit 0

command -v apt-get >/dev/null || {
	echo "check:deploy needs ${packages[*]}, and this system has no apt." >&2
	exit 1
}
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
echo "installing with apt: ${packages[*]}" >&2
"${sudo[@]}" apt-get -qq update
# Debian starts services as it installs them; nobody wants these here.
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
