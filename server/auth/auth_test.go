package auth

import (
	"strings"
	"testing"
)

func mustKeys(t testing.TB, keys ...Key) *Keys {
	t.Helper()
	k, err := NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoles(t *testing.T) {
	for _, role := range []Role{ReadOnly, ReadWrite, Admin} {
		if got, err := ParseRole(role.String()); got != role || err != nil {
			t.Errorf("%v reads as %v, %v", role, got, err)
		}
	}
	for _, name := range []string{"", "public", "nobody", "root", "admin "} {
		if got, err := ParseRole(name); err == nil || got != 0 {
			t.Errorf("%q reads as %v", name, got)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	plain, hashed := NewKey(), NewKey()
	k := mustKeys(t, Key{Key: plain, Role: ReadOnly, Name: "reader"}, Key{Hash: HashKey(hashed), Role: Admin})
	if p, ok := k.Authenticate(plain); !ok || p != (Principal{"reader", ReadOnly}) {
		t.Errorf("the plain key is %v, %v", p, ok)
	}
	if p, ok := k.Authenticate(hashed); !ok || p.Role != Admin || p.Name != "key-"+HashKey(hashed)[7:15] {
		t.Errorf("the hashed key is %v, %v", p, ok)
	}
	for _, wrong := range []string{"", plain[1:], plain + " ", strings.ToUpper(plain), HashKey(plain), HashKey(hashed), NewKey()} {
		if p, ok := k.Authenticate(wrong); ok || p != (Principal{}) {
			t.Errorf("%q is %v", wrong, p)
		}
	}
	if _, ok := new(Keys).Authenticate(plain); ok {
		t.Error("no keys let somebody in")
	}
}

func TestNewKeysRefuses(t *testing.T) {
	good := NewKey()
	for what, keys := range map[string][]Key{
		"no role":         {{Key: good}},
		"public":          {{Key: good, Role: Public}},
		"unknown role":    {{Key: good, Role: Admin + 1}},
		"neither":         {{Role: Admin}},
		"both":            {{Key: good, Hash: HashKey(good), Role: Admin}},
		"short":           {{Key: "secret-secret-1", Role: Admin}},
		"long":            {{Key: strings.Repeat("x", 513), Role: Admin}},
		"a space":         {{Key: good + " x", Role: Admin}},
		"a line end":      {{Key: good + "\n", Role: Admin}},
		"an umlaut":       {{Key: good + "ä", Role: Admin}},
		"a bad hash":      {{Hash: "md5:" + good, Role: Admin}},
		"a short hash":    {{Hash: HashKey(good)[:70], Role: Admin}},
		"hash no digits":  {{Hash: hashPrefix + strings.Repeat("g", 64), Role: Admin}},
		"key as hash":     {{Hash: good, Role: Admin}},
		"name with key":   {{Key: good, Role: Admin, Name: "my " + good}},
		"long name":       {{Key: good, Role: Admin, Name: strings.Repeat("x", 65)}},
		"name with lines": {{Key: good, Role: Admin, Name: "a\nb"}},
		"twice":           {{Key: good, Role: Admin}, {Hash: HashKey(good), Role: ReadOnly}},
	} {
		k, err := NewKeys(keys)
		if err == nil || k != nil {
			t.Errorf("%s: taken", what)
			continue
		}
		if strings.Contains(err.Error(), good) {
			t.Errorf("%s: the error has the key: %v", what, err)
		}
	}
}

func TestRedact(t *testing.T) {
	plain, odd, hashed, foreign := NewKey(), "abc/def+ghi=jkl/mno==", "0123456789abcdef-hashed", NewKey()
	k := mustKeys(t, Key{Key: plain, Role: Admin}, Key{Key: odd, Role: Admin}, Key{Hash: HashKey(hashed), Role: Admin})
	for _, text := range []string{
		"/entities/%s", "%s", "x%[1]sx", "/a?key=%s&b=1", `the key "%s" is wrong`, "Bearer %s\n%[1]s", "%s/..", "ä%sä",
	} {
		for _, key := range []string{plain, odd, hashed, foreign} {
			if key == hashed && text == "x%[1]sx" {
				continue // only its hash is known, so it must stand as a word
			}
			given := strings.NewReplacer("%s", key, "%[1]s", key).Replace(text)
			if got := k.Redact(given); strings.Contains(got, key) || !strings.Contains(got, Redacted) {
				t.Errorf("%q becomes %q", given, got)
			}
		}
	}
	for _, text := range []string{"", "/entities/books:dune", "/entities/" + strings.Repeat("x", 600), HashKey(plain), "themis_server runs"} {
		if got := k.Redact(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := (*Keys)(nil).Redact("see " + foreign); strings.Contains(got, foreign) {
		t.Errorf("without keys: %q", got)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	var keys []Key
	for range 10 {
		keys = append(keys, Key{Key: NewKey(), Role: ReadOnly})
	}
	k, presented := mustKeys(b, keys...), keys[3].Key
	b.ReportAllocs()
	for b.Loop() {
		k.Authenticate(presented)
	}
}

// FuzzRedact holds that no key is left, wherever it stands.
func FuzzRedact(f *testing.F) {
	plain, made := "operator/chose+this==", NewKey()
	k := mustKeys(f, Key{Key: plain, Role: Admin}, Key{Hash: HashKey(made), Role: Admin})
	f.Add("", "")
	f.Add("/entities/", "?x=1")
	f.Add("themis_", "=")
	f.Add("ä\xff", "\x00themis_themis_")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, key := range []string{plain, made} {
			if strings.Contains(before+after, key) {
				continue
			}
			text := before + key + after
			if got := k.Redact(text); strings.Contains(got, key) {
				t.Errorf("%q becomes %q", text, got)
			}
		}
	})
}
