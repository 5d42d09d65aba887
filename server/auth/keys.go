package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/vccdb/vccdb/internal/errs"
)

// Key is an API key as an operator writes it down: the key itself or its hash.
type Key struct {
	// Key is what callers present: 16 to 512 letters, digits and -._~+/= (the
	// characters of a bearer token, RFC 6750). Empty if Hash is set.
	Key string
	// Hash is "sha256:" and 64 hexadecimal digits, as HashKey makes it.
	Hash string
	Role Role
	// Name is who the key belongs to, in logs and the audit log; up to 64
	// printable characters. Empty is "key-" and the start of the key's hash. Keys
	// may share a name, such as the old and the new one of the same program.
	Name string
}

// Principal is a caller who has been told apart from others.
type Principal struct {
	Name string
	// Role is what the caller may do; the zero value may do nothing.
	Role Role
}

// The bounds of keys and names. A key is a secret that can be tried from far
// away, so short ones are refused; NewKey's have 256 bits.
const (
	minKey, maxKey = 16, 512
	maxName        = 64
)

// newKeyPrefix lets people, and tools that look for leaked secrets, recognize a
// key.
const newKeyPrefix = "themis_"

// hashPrefix names the one hash there is. A slow password hash would add nothing
// to random keys but a cost for each request.
const hashPrefix = "sha256:"

// Digest is the hash of a key. It stands for the key where that must not be kept.
type Digest [sha256.Size]byte

// DigestOf hashes a key as a caller presents it.
func DigestOf(presented string) Digest { return sha256.Sum256([]byte(presented)) }

// NewKey makes a key of 256 random bits, fit for headers and URLs.
func NewKey() string {
	var secret [32]byte
	rand.Read(secret[:]) // it never fails
	return newKeyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

// HashKey is the hash of a key in the form that ParseHash reads.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// ParseHash reads "sha256:" and 64 hexadecimal digits. The error doesn't quote
// the text, which may be a key put into the wrong field.
func ParseHash(text string) (Digest, error) {
	var sum Digest
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if ok && len(digits) == hex.EncodedLen(len(sum)) {
		if _, err := hex.Decode(sum[:], []byte(digits)); err == nil {
			return sum, nil
		}
	}
	return Digest{}, errs.New(errs.Invalid, "invalid_key_hash",
		"a key's hash is %q and 64 hexadecimal digits; themis_server --hash-key makes one", hashPrefix)
}

// Keys knows the keys that let callers in. The zero value lets nobody in. It
// doesn't change, and is safe for concurrent use.
type Keys struct {
	digests    []Digest
	principals []Principal
	// plain are the keys that came as such, for Redact.
	plain []string
}

// NewKeys checks the keys. Errors name a key by its position and its name, never
// by its text.
func NewKeys(keys []Key) (*Keys, error) {
	k := &Keys{}
	for i, key := range keys {
		sum, err := key.check()
		if err != nil {
			return nil, errs.Wrap(err, errs.Invalid, "invalid_api_key", "API key %d is refused", i)
		}
		if at := slices.Index(k.digests, sum); at >= 0 {
			return nil, errs.New(errs.Invalid, "invalid_api_key", "API keys %d and %d are the same; each must be there once", at, i)
		}
		name := key.Name
		if name == "" {
			name = "key-" + hex.EncodeToString(sum[:4])
		}
		k.digests = append(k.digests, sum)
		k.principals = append(k.principals, Principal{name, key.Role})
		if key.Key != "" {
			k.plain = append(k.plain, key.Key)
		}
	}
	return k, nil
}

func (k *Key) check() (Digest, error) {
	refuse := func(format string, args ...any) (Digest, error) {
		return Digest{}, errs.New(errs.Invalid, "invalid_api_key", format, args...)
	}
	odd := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case k.Role < ReadOnly || k.Role > Admin:
		return refuse("its role must be readonly, readwrite or admin")
	case len(k.Name) > maxName || strings.ContainsFunc(k.Name, odd):
		return refuse("its name must be up to %d printable characters", maxName)
	case (k.Key == "") == (k.Hash == ""):
		return refuse("it must have either a key or a key_hash")
	case k.Hash != "":
		return ParseHash(k.Hash)
	case len(k.Key) < minKey || len(k.Key) > maxKey || strings.ContainsFunc(k.Key, func(r rune) bool { return !isTokenByte(r) }):
		return refuse("a key must be %d to %d letters, digits and -._~+/=", minKey, maxKey)
	case strings.Contains(k.Name, k.Key):
		return refuse("its name contains the key, and names are logged")
	}
	return sha256.Sum256([]byte(k.Key)), nil
}

func isTokenByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/=", r)
}

// Digests are the hashes of the keys.
func (k *Keys) Digests() []Digest { return slices.Clone(k.digests) }

// Len is the number of keys.
func (k *Keys) Len() int { return len(k.digests) }

// Authenticate returns whom a presented key belongs to. The time it takes
// depends on the number of keys and the length of the one presented, not on
// which one it is or how much of it is right: hashes are compared, all of them,
// and in constant time.
func (k *Keys) Authenticate(presented string) (Principal, bool) {
	return k.Holder(DigestOf(presented))
}

// Holder returns whom the key with a hash belongs to, in constant time as well.
func (k *Keys) Holder(sum Digest) (Principal, bool) {
	at := -1
	for i := range k.digests {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], k.digests[i][:]), i, at)
	}
	if at < 0 {
		return Principal{}, false
	}
	return k.principals[at], true
}

// Redacted stands where a key was.
const Redacted = "[redacted]"

// Redact returns text with every key in it masked: those known as text wherever
// they stand, those known by their hash where they stand as a word, and
// whatever looks like a key of NewKey's. Keys may be nil.
func (k *Keys) Redact(text string) string {
	if k != nil {
		for _, key := range k.plain {
			text = strings.ReplaceAll(text, key, Redacted)
		}
	}
	// Most texts have no word long enough for a key.
	var out strings.Builder
	for rest := text; ; {
		start := strings.IndexFunc(rest, isWordByte)
		if start < 0 {
			if out.Len() == 0 {
				return text
			}
			out.WriteString(rest)
			return out.String()
		}
		end := strings.IndexFunc(rest[start:], func(r rune) bool { return !isWordByte(r) })
		if end < 0 {
			end = len(rest) - start
		}
		end += start
		out.WriteString(rest[:start])
		out.WriteString(k.redactWord(rest[start:end]))
		rest = rest[end:]
	}
}

// isWordByte is isTokenByte without what separates words in URLs.
func isWordByte(r rune) bool { return r != '/' && r != '=' && isTokenByte(r) }

func (k *Keys) redactWord(word string) string {
	if len(word) < minKey {
		return word
	}
	if at := strings.Index(word, newKeyPrefix); at >= 0 && len(word)-at >= minKey {
		return word[:at] + Redacted
	}
	if k != nil {
		if _, known := k.Authenticate(word); known {
			return Redacted
		}
	}
	return word
}
