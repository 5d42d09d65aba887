#!/usr/bin/env bash
# Builds the programs as they are released, linked so that they need nothing but
# the C library, and packs them: build/release.sh makes
# dist/vccdb-linux-x64.tar.gz, build/release.sh --programs DIR only DIR/bin.
#
# The same source gives the same bytes: no paths, no clocks. COMMIT, DATE and
# SOURCE_DATE_EPOCH are git's unless they are set. The GPU's worker is among the
# programs if CUDA is here (build/cuda.sh).
set -euo pipefail

say() { printf 'release: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }

# RocksDB and what it is built with, and the C++ runtime.
readonly LIBRARIES=(rocksdb snappy lz4 zstd z bz2 stdc++)
# What the loader may be asked for: parts of the C library.
readonly PRESENT='^(libc|libm|libdl|libpthread|libresolv|librt|ld-linux-[a-z0-9-]+)\.so\.[0-9]$'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

archive() {
	local file
	file=$("${CC:-gcc}" -print-file-name="lib$1.a")
	[ -f "$file" ] || die "lib$1.a is missing; on Debian it comes with the packages that build/deps.sh installs"
	printf '%s\n' "$file"
}

# The linker takes a shared library where it finds one, so it looks first into a
# folder that has the archives only. libbz2 isn't among what the Go binding links.
programs() {
	local lib archives=$work/archives
	[ -s web/dist/manifest.json ] || die 'the console has no scripts yet; build/web.sh makes them'
	mkdir -p "$archives" "$1"
	for lib in "${LIBRARIES[@]}"; do ln -s "$(archive "$lib")" "$archives/"; done
	GOWORK=off CGO_ENABLED=1 go build -trimpath -buildvcs=false -o "$1/" \
		-ldflags "-s -w -buildid= -X main.commit=$COMMIT -X main.buildDate=$DATE -extldflags '-L$archives -lbz2 -static-libgcc'" \
		./cmd/...
	for program in "$1"/*; do check "$program"; done
	# The GPU's worker, where it can be built. It needs the driver's library besides.
	if build/cuda.sh --present; then COMMIT=$COMMIT DATE=$DATE build/cuda.sh "$1"; fi
}

# NVML's functions are looked up when its library is loaded, if ever, so the
# linker is told not to mind them. It then minds no others either: this does.
check() {
	local needed missing
	needed=$(objdump -p "$1" | awk '$1 == "NEEDED" {print $2}' | grep -Ev "$PRESENT" || true)
	[ -z "$needed" ] || die "$1 needs $needed"
	missing=$(nm -D --undefined-only "$1" | awk '$1 == "U" && $2 !~ /@GLIBC_|^nvml/ {print $2}')
	[ -z "$missing" ] || die "$1 lacks $missing"
}

# The licences of all that is in the programs.
licences() {
	local lib dir path version package
	mkdir -p "$1/go"
	cp "$(go env GOROOT)/LICENSE" "$1/go/LICENSE"
	go version -m "$2"/* | awk '$1 == "dep" {print $2, $3}' | sort -u >"$work/modules"
	while read -r path version; do
		dir=$(GOWORK=off go list -m -f '{{.Dir}}' "$path@$version")
		mkdir -p "$1/$path"
		find "$dir" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) \
			-exec cp --no-preserve=mode {} "$1/$path/" \;
		[ -n "$(ls "$1/$path")" ] || die "the module $path has no licence file"
	done <"$work/modules"
	for lib in "${LIBRARIES[@]}" gcc; do
		package=$(dpkg -S "$(readlink -f "$(archive "$lib")")" | head -n 1)
		mkdir -p "$1/lib$lib"
		cp --no-preserve=mode "/usr/share/doc/${package%%:*}/copyright" "$1/lib$lib/"
	done
	jq -r '.[].name' web/dist/licences.json >"$work/libraries"
	while read -r lib; do
		mkdir -p "$1/npm/$lib"
		jq -rj --arg name "$lib" '.[] | select(.name == $name).text' web/dist/licences.json >"$1/npm/$lib/LICENSE"
	done <"$work/libraries"
	mkdir -p "$1/words"
	cp internal/dataset/words/{LICENSE,ACKNOWLEDGEMENT.md} "$1/words/"
}

pack() {
	local machine name root
	case $(go env GOARCH) in
	amd64) machine=x64 ;;
	*) machine=$(go env GOARCH) ;;
	esac
	name=vccdb-linux-$machine root=$work/$name
	programs "$work/bin"
	mkdir -p "$root" dist
	cp "$work"/bin/* "$root/"
	cp -r deploy docs README.md LICENSE "$root/"
	find "$root/docs" -name '*.go' -delete
	licences "$root/licenses" "$work/bin"
	(cd "$root" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum) >"$work/SHA256SUMS"
	mv "$work/SHA256SUMS" "$root/"
	tar --create --directory "$work" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner \
		--mtime="@$SOURCE_DATE_EPOCH" --mode='u+rw,go+r,go-w,a+X' "$name" | gzip -9n >"dist/$name.tar.gz"
	(cd dist && sha256sum "$name.tar.gz" >SHA256SUMS)
	say "dist/$name.tar.gz: $(du -h "dist/$name.tar.gz" | cut -f 1), $(cut -d ' ' -f 1 dist/SHA256SUMS)"
}

COMMIT=${COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
DATE=${DATE:-$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)}

case ${1:-} in
'') pack ;;
--programs) programs "${2:?a folder}/bin" ;;
*) die "there is no option $1" ;;
esac
