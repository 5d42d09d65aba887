#!/bin/sh
# Makes a backup of a running Themis and removes the backups that are older than
# KEEP_DAYS, never the newest one. Needs curl. Settings are environment variables:
#
#   THEMIS_URL       http://127.0.0.1:8765
#   THEMIS_KEY_FILE  file with the API key of an admin; none when auth is off
#   THEMIS_CA_FILE   certificate authority of the server, when it isn't a public one
#   KEEP_DAYS        7
#   TIMEOUT          how long a backup may take, in seconds; 3600
#
# Exit status: 0 the backup is made and old ones are gone; 1 no backup was made;
# 2 it was made, but old ones could not be removed; 64 the settings are wrong.
set -eu

url=${THEMIS_URL:-http://127.0.0.1:8765}
keep_days=${KEEP_DAYS:-7}
timeout=${TIMEOUT:-3600}

say() { printf 'themis-backup: %s\n' "$*" >&2; }

case $keep_days in
'' | *[!0-9]*) say "KEEP_DAYS is not a number: $keep_days" && exit 64 ;;
esac
if [ -n "${THEMIS_KEY_FILE:-}" ] && [ ! -r "$THEMIS_KEY_FILE" ]; then
	say "the key's file can't be read: $THEMIS_KEY_FILE"
	exit 64
fi
command -v curl >/dev/null || { say 'curl is not installed'; exit 64; }

# The key reaches curl through its standard input: arguments can be seen by
# everybody on the machine.
call() {
	{
		[ -z "${THEMIS_KEY_FILE:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$(cat "$THEMIS_KEY_FILE")"
		[ -z "${THEMIS_CA_FILE:-}" ] || printf 'cacert = "%s"\n' "$THEMIS_CA_FILE"
	} | curl --config - --silent --show-error --max-time "$timeout" \
		--header 'Content-Type: application/json' --write-out '\n%{http_code}' "$@"
}

# ask METHOD PATH [BODY] sets status and answer, and fails unless the status is
# 200 or 202.
ask() {
	answer=$(call --request "$1" ${3:+--data "$3"} "$url$2") || return 1
	status=${answer##*"
"}
	answer=${answer%"
"*}
	case $status in
	200 | 202) ;;
	*)
		say "$1 $2 answered $status: $answer"
		return 1
		;;
	esac
}

# field NAME is a text field of the answer.
field() { printf '%s' "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# A backup that takes longer than a request may goes on as a job.
follow() {
	job=$(printf '%s' "$answer" | sed -n 's/.*"job":{"id":"\([^"]*\)".*/\1/p')
	deadline=$(($(date +%s) + timeout))
	while [ "$(date +%s)" -lt "$deadline" ]; do
		ask GET "/jobs/$job" || return 1
		case $(field state) in
		running) sleep 1 ;;
		done) return 0 ;;
		*) say "the backup failed: $answer" && return 1 ;;
		esac
	done
	say "the backup goes on after $timeout s as job $job"
	return 1
}

ask POST /admin/backup || { say 'no backup was made'; exit 1; }
[ "$status" = 200 ] || follow || exit 1
say "made: $answer"

# The times are RFC 3339 in UTC, so they compare as text.
cutoff=$(date -u -d "@$(($(date +%s) - keep_days * 86400))" +%Y-%m-%dT%H:%M:%SZ)
ask GET /admin/backups || { say 'the backups could not be listed; none was removed'; exit 2; }
young=$(printf '%s' "$answer" | grep -o '"created":"[^"]*"' | cut -d '"' -f 4 | LC_ALL=C awk -v cutoff="$cutoff" '$0 >= cutoff' | wc -l)
[ "$young" -ge 1 ] || young=1
ask POST /admin/backups/purge "{\"keep\": $young}" || { say 'old backups could not be removed'; exit 2; }
say "kept: $young"
