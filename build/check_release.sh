#!/usr/bin/env bash
# Proves that a release runs without what it was built with: unpacks it in a root
# folder that has nothing but the C library, starts the server there, and writes
# and reads over HTTP. build/check_release.sh [TARBALL [ROOT]]; ROOT is another
# root folder to try, as debootstrap makes them.
set -euo pipefail

tarball=${1:-dist/vccdb-linux-x64.tar.gz}
say() { printf 'check: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }

# A root folder of one's own needs root's rights, or a user namespace.
if [ "$(id -u)" -ne 0 ] && [ -z "${CHECK_INSIDE:-}" ]; then
	exec env CHECK_INSIDE=1 unshare --user --map-root-user --mount "$0" "$@"
fi

work=$(mktemp -d)
root=${2:-$work/root}
home=/opt/themis-check
server=
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	[ -z "$server" ] || wait "$server" 2>/dev/null || true
	rm -rf "$work" "${root:?}$home"
}
trap cleanup EXIT

mkdir -p "$root$home" "$root/tmp"
tar --extract --gzip --no-same-owner --strip-components=1 --directory "$root$home" --file "$tarball"
(cd "$root$home" && sha256sum --quiet --check SHA256SUMS) || die 'the checksums are wrong'
say "$(find "$root$home/licenses" -type f | wc -l) licence texts"

# The bare root: what the loader asks for, and no shell even.
for library in $(ldd "$root$home/themis_server" | grep -o '/[^ ]*\.so[^ ]*'); do
	case $library in
	*librocksdb* | *libsnappy* | *liblz4* | *libzstd* | *libz.* | *libbz2* | *libstdc++* | *libgcc*) die "it needs $library" ;;
	esac
	[ -n "${2:-}" ] || { mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; }
done
[ -z "$(find "$root" -xdev -name 'librocksdb.*' -print -quit 2>/dev/null)" ] || die "$root has RocksDB itself"
say "the root has these libraries: $(cd "$root" && find . -name '*.so*' | wc -l) files"

inside() { chroot "$root" "$home/themis_server" "$@"; }
inside --version
port=$((20000 + RANDOM % 10000))
# Not by the function: its shell would be what is killed.
chroot "$root" "$home/themis_server" --set server.host=127.0.0.1 --set server.port=$port --set storage.rocksdb_path=$home/data \
	--set storage.block_cache_size_mb=32 --set logging.level=warn &
server=$!

# request METHOD PATH [BODY] prints the answer; bash speaks TCP by itself.
request() {
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
		"$1" "$2" "${#3}" "${3:-}" >&3
	cat <&3
	exec 3>&-
}

# expect TEXT METHOD PATH [BODY] holds that the answer has the text.
expect() {
	local text=$1 answer
	shift
	answer=$(request "$1" "$2" "${3:-}")
	case $answer in
	*"$text"*) ;;
	*) die "$1 $2 answered: $answer" ;;
	esac
}

for _ in $(seq 100); do
	kill -0 "$server" 2>/dev/null || die 'the server ended'
	if inside --set server.port=$port --healthcheck >/dev/null 2>&1; then break; fi
	sleep 0.1
done
expect '"created":true' PUT /entities/books:dune '{"title":"Dune","year":1965,"embedding":[0.9,0.1,0.3]}'
expect '"created":true' PUT /entities/books:ubik '{"title":"Ubik","year":1969,"embedding":[0.1,0.3,0.9]}'
expect '"title":"Dune"' GET /entities/books:dune
expect '"state":"ready"' POST /index/create '{"table":"books","column":"embedding","type":"vector","config":{"metric":"cosine"}}'
expect '"pk":"dune"' POST /vector/search '{"table":"books","vector":[0.8,0.2,0.2],"k":1}'
expect ' 200 ' POST /admin/flush
expect 'rocksdb_estimate_num_keys' GET /metrics
kill "$server"
wait "$server" || die 'the server did not stop in order'
server=
inside --set storage.rocksdb_path=$home/data --verify
say 'the release runs with the C library alone'
