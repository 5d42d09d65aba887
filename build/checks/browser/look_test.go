package browser

import "testing"

// look is one way of going through pages.
type look struct {
	name, theme string
	size        [2]int64
	auth        bool
}

// looks are the ways in which every change is made.
var looks = []look{
	{"authentication off, light, desktop", "light", desktop, false},
	{"admin, dark, phone", "dark", phone, true},
}

// eachLook runs a test in each look, on a server of its own with settings.
func eachLook(t *testing.T, test func(s *server, b *tab), settings ...string) {
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			s := start(t, t.TempDir(), l.auth, settings...)
			b := open(t, s.url, l.theme, l.size)
			if l.auth {
				b.signIn(adminKey)
			}
			test(s, b)
		})
	}
}
