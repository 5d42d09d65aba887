package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
)

// try is a request that hopes to get around a check.
type try struct {
	text string
	// method is that of the answer.
	method string
	// public is set if the request goes to a public path with a hint at another:
	// the answer may be the public one.
	public bool
}

// kind makes tries out of a route: a method and a path that need a key. The key
// is one that would be enough, for putting it where no key belongs.
type kind struct {
	name string
	make func(method, path, key string) []try
}

// targets are tries with other paths and nothing else.
func targets(paths func(path string) []string) func(method, path, key string) []try {
	return func(method, path, _ string) (tries []try) {
		for _, p := range paths(path) {
			tries = append(tries, try{text: request(method, p, bodyFor(method)), method: method})
		}
		return tries
	}
}

// headers are tries with other header lines and nothing else; KEY and PATH stand
// for the key and the path.
func headers(lines ...string) func(method, path, key string) []try {
	return func(method, path, key string) (tries []try) {
		for _, line := range lines {
			line = strings.NewReplacer("KEY", key, "PATH", path).Replace(line)
			tries = append(tries, try{text: request(method, path, bodyFor(method), line), method: method})
		}
		return tries
	}
}

// hints are header lines on a public path.
func hints(lines ...string) func(method, path, key string) []try {
	return func(method, path, key string) (tries []try) {
		for _, line := range lines {
			line = strings.NewReplacer("METHOD", method, "PATH", path).Replace(line)
			tries = append(tries, try{text: request("GET", "/livez", "", line), method: "GET", public: true})
		}
		return append(tries, headers(lines...)(method, path, key)...)
	}
}

var kinds = []kind{
	{"dots encoded", targets(func(p string) []string {
		return []string{"/livez/%2e%2e" + p, "/livez%2f..%2f" + p[1:], "/livez/..%2f" + p[1:], "/%2e" + p, "/livez/%252e%252e" + p,
			p + "%2f", "/..%2f.." + p, "/%2e%2e%2f" + p[1:], strings.Replace(p, "/", "%2f", 1), "/livez/.%2e" + p}
	})},
	{"slashes", targets(func(p string) []string {
		return []string{"/" + p, "//" + p, p + "//", "/livez//.." + p, strings.ReplaceAll(p, "/", "//"), "/livez/" + p}
	})},
	{"dots", targets(func(p string) []string {
		return []string{"/." + p, "/livez/.." + p, p + "/.", p + "/..", "/readyz/../" + p[1:], "/livez/../livez/.." + p, "/.." + p, p + "/../" + p[1:]}
	})},
	{"case", targets(func(p string) []string {
		return []string{strings.ToUpper(p), p[:1] + strings.ToUpper(p[1:2]) + p[2:], p[:len(p)-1] + strings.ToUpper(p[len(p)-1:]),
			"/LIVEZ/.." + p, strings.ReplaceAll(p, "i", "%C4%B1"), strings.ReplaceAll(p, "s", "%c5%bf")}
	})},
	{"ends", targets(func(p string) []string {
		return []string{p + "/", p + "?", p + "#", p + "%20", p + ".json", p + "?/livez", p + "#/livez", p + "%23", p + "%3f", p + "..;/", p + "&", p + "%0a", p + "%0d%0aX:y"}
	})},
	{"semicolons", targets(func(p string) []string {
		return []string{p + ";a=b", p + ";/livez", "/;x" + p, "/livez;" + p, p + ";jsessionid=1", "/livez;/.." + p}
	})},
	{"NULs", targets(func(p string) []string {
		return []string{p + "%00", "/livez%00" + p, p + "%00/livez", "/%00" + p, p + "%00.json", p + "\x00"}
	})},
	{"backslashes", targets(func(p string) []string {
		return []string{strings.ReplaceAll(p, "/", `\`), `/livez\..` + p, `/livez/..\` + p[1:], "/livez%5c.." + p, `/\` + p[1:]}
	})},
	{"overlong and wide", targets(func(p string) []string {
		return []string{"/livez/%c0%ae%c0%ae" + p, "/livez%c0%af.." + p, "/%ef%bc%8f" + p[1:], "/livez/%e0%80%ae%e0%80%ae" + p, "/%u002e%u002e" + p}
	})},
	{"absolute targets", targets(func(p string) []string {
		return []string{"http://localhost" + p, "https://localhost" + p, "http://127.0.0.1" + p, "http://admin:admin@localhost" + p,
			"http://localhost//" + p, "http://livez" + p, "http:" + p, "file://" + p, "http://localhost@evil.example" + p}
	})},
	{"query", targets(func(p string) []string {
		return []string{p + "?admin=true", p + "?role=admin", p + "?debug=1", p + "?_method=GET", p + "?path=/livez", p + "?api_key=x&api-key=x"}
	})},
	{"override", hints("X-HTTP-Method-Override: METHOD", "X-HTTP-Method: METHOD", "X-Method-Override: METHOD", "_method: METHOD",
		"X-HTTP-Method-Override: GET", "X-HTTP-Method-Override: OPTIONS")},
	{"rewrite", hints("X-Original-URL: PATH", "X-Rewrite-URL: PATH", "X-Original-URI: PATH", "X-Forwarded-Path: PATH",
		"X-Forwarded-Prefix: PATH", "X-Forwarded-Uri: PATH", "X-Envoy-Original-Path: PATH", "X-Original-URL: /livez", "X-Rewrite-URL: /livez")},
	{"forwarded", headers("X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: ::1", "X-Forwarded-Host: localhost", "X-Forwarded-Proto: https",
		"X-Real-IP: 127.0.0.1", "X-Client-IP: 127.0.0.1", "True-Client-IP: 127.0.0.1", "Forwarded: for=127.0.0.1;proto=https",
		"X-Forwarded-User: root", "X-Remote-User: root", "Remote-User: root", "X-Auth-Request-User: root", "X-SSL-Client-Verify: SUCCESS",
		"X-Forwarded-Client-Cert: Subject=\"CN=root\"", "X-Role: admin", "Via: 1.1 localhost", "Sec-Fetch-Site: same-origin", "Origin: http://themis.example")},
	{"Host", func(method, path, _ string) (tries []try) {
		for _, host := range []string{"localhost", "127.0.0.1", "", "livez", "themis.example/livez", "localhost\r\nHost: themis.example", "themis.example:0", "[::1]"} {
			text := strings.Replace(request(method, path, bodyFor(method)), "Host: themis.example", "Host: "+host, 1)
			tries = append(tries, try{text: text, method: method})
		}
		return tries
	}},
	{"keys that are none", headers("Authorization:", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: Basic YWRtaW46YWRtaW4=",
		"Authorization: Bearer null", "Authorization: Bearer undefined", "Authorization: Bearer *", "Authorization: Bearer ' OR '1'='1", "Authorization: Bearer root",
		"Authorization: Bearer "+auth.NewKey(), "Authorization: Bearer "+auth.HashKey("0123456789-admin-by-hash"), "api-key:", "api-key: root", "api-key: %00", "api-key: 0")},
	{"keys spoilt", headers("Authorization: Bearer KEYx", "Authorization: Bearer xKEY", "Authorization: Bearer KEY KEY", "Authorization: Bearer KEY, Bearer KEY",
		"Authorization: Bearer \"KEY\"", "Authorization: Bearer KEY;", "Authorization: BearerKEY", "Authorization: Bearer:KEY", "Authorization: KEY", "Authorization: Basic KEY",
		"Authorization: Bearer\tKEY", "Authorization: Token KEY", "Authorization: Bearer KEY\x00", "api-key: Bearer KEY", "api-key: KEY,KEY")},
	{"keys elsewhere", func(method, path, key string) []try {
		tries := headers("X-API-Key: KEY", "Proxy-Authorization: Bearer KEY", "Cookie: api-key=KEY", "Cookie: Authorization=Bearer KEY", "X-Authorization: Bearer KEY",
			"Auth: KEY", "Api_Key: KEY", "X-Request-ID: KEY", "User-Agent: KEY", "Referer: http://localhost/?api-key=KEY")(method, path, key)
		for _, query := range []string{"api-key", "api_key", "key", "access_token", "token", "Authorization"} {
			tries = append(tries, try{text: request(method, path+"?"+query+"="+key, bodyFor(method)), method: method})
		}
		return append(tries, try{text: request(method, "http://"+key+"@localhost"+path, bodyFor(method)), method: method},
			try{text: request(method, path+"/"+key, bodyFor(method)), method: method})
	}},
	{"keys twice", headers("Authorization: Bearer KEY\r\nAuthorization: Bearer KEY", "Authorization: Bearer x\r\nAuthorization: Bearer KEY",
		"Authorization: Bearer KEY\r\nAuthorization: Bearer x", "api-key: KEY\r\napi-key: KEY", "api-key: KEY\r\nAuthorization: Bearer x",
		"api-key: x\r\nAuthorization: Bearer KEY", "Authorization: Basic eDp5\r\napi-key: KEY")},
	{"versions", func(method, path, _ string) (tries []try) {
		for _, version := range []string{"HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 ", "HTTPS/1.1", ""} {
			tries = append(tries, try{text: strings.Replace(request(method, path, bodyFor(method)), "HTTP/1.1", version, 1), method: method},
				try{text: strings.Replace(strings.Replace(request(method, path, bodyFor(method)), "HTTP/1.1", version, 1), "Host: themis.example\r\n", "", 1), method: method})
		}
		return tries
	}},
	{"methods", func(method, path, _ string) (tries []try) {
		for _, other := range []string{"HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", strings.ToLower(method), "GET,POST", "_" + method} {
			tries = append(tries, try{text: request(other, path, ""), method: other})
		}
		return tries
	}},
}

// harmless are the codes of refusals that come before any handler.
var harmless = []string{"key_required", "unknown_key", "ambiguous_key", "sign_in_required", "rate_limited", "malformed_request", "method_not_allowed"}

// TestBypass tries to get in without a key, in all ways known, on every route
// that asks for one. An answer of a handler would have another code.
func TestBypass(t *testing.T) {
	s := startSecured(t)
	operations := slices.DeleteFunc(slices.Clone(s.app.Operations()), func(op openapi.Operation) bool { return op.Role == auth.Public })
	for i, kind := range kinds {
		count := 0
		for j, op := range operations {
			if skipped(op, i+j) {
				continue
			}
			for _, try := range kind.make(op.Method, path(op.Path), s.readwrite) {
				count++
				replies := s.raw(try.text, try.method)
				if len(replies) != 1 {
					t.Errorf("%s: %q: %d answers", kind.name, try.text, len(replies))
					continue
				}
				r := replies[0]
				switch {
				case try.public && r.status == 200 && r.body == `{"status":"ok"}`:
				case try.method == "HEAD" && r.status == 401:
				case r.status >= 400 && slices.Contains(harmless, r.code):
				default:
					t.Errorf("%s: %q: %d %s", kind.name, try.text, r.status, r.body)
				}
			}
		}
		if count < 100 {
			t.Errorf("%s: only %d tries", kind.name, count)
		}
	}
	s.searchForKeys()
}

// skipped spares time: the pages of the console have the same checks, made in the
// same way, so each is tried with every fifth kind, and each kind on every fifth of
// them.
func skipped(op openapi.Operation, turn int) bool { return isPage(op) && turn%5 != 0 }

var tookMs = regexp.MustCompile(`"took_ms":[0-9.]+`)

// TestBypassOfRoles tries the same with the key of a reader, on the routes of
// writers. It may read then, and nothing changes.
func TestBypassOfRoles(t *testing.T) {
	s := startSecured(t)
	for _, entity := range []string{"nothing:here", "kept:1"} {
		if status, body := s.call("PUT", "/entities/"+entity, `{"n": 1}`, s.readwrite); status != 201 {
			t.Fatal(status, body)
		}
	}
	state := func() string {
		var all []string
		for _, target := range []string{"/entities?table=nothing", "/entities?table=kept", "/tables", "/index/stats?table=kept", "/jobs"} {
			status, body := s.call("GET", target, "", s.admin)
			all = append(all, fmt.Sprint(target, status, tookMs.ReplaceAllString(body, "")))
		}
		return strings.Join(all, "\n")
	}
	before := state()
	refused := 0
	for i, op := range s.app.Operations() {
		if op.Role <= auth.ReadOnly {
			continue
		}
		for j, kind := range kinds {
			if strings.HasPrefix(kind.name, "keys") || skipped(op, i+j) {
				continue
			}
			for _, try := range kind.make(op.Method, path(op.Path), s.admin) {
				text := strings.Replace(try.text, "\r\n", "\r\nAuthorization: Bearer "+s.readonly+"\r\n", 1)
				for _, r := range s.raw(text, try.method) {
					if r.status == http.StatusForbidden {
						refused++
					}
					if r.status < 300 && try.method == op.Method && !try.public {
						t.Errorf("%s: %q: %d %s", kind.name, text, r.status, r.body)
					}
				}
			}
		}
	}
	if refused < 1000 {
		t.Errorf("only %d tries met a role", refused)
	}
	if after := state(); after != before {
		t.Errorf("something changed from\n%s\nto\n%s", before, after)
	}
	s.searchForKeys()
}

// TestBypassByCookie tries what a session's cookie must not do: get into the REST
// API, be one of two, be another server's, or come from another site's page.
func TestBypassByCookie(t *testing.T) {
	s := startSecured(t)
	cookie := s.signIn(s.admin)
	name, token, _ := strings.Cut(strings.TrimPrefix(cookie, "Cookie: "), "=")
	const form = "Content-Type: application/x-www-form-urlencoded"
	tries := 0
	expect := func(op openapi.Operation, status int, code string, lines ...string) {
		t.Helper()
		tries++
		text := request(op.Method, path(op.Path), "", lines...)
		replies := s.raw(text, op.Method)
		if len(replies) != 1 || replies[0].status != status || replies[0].code != code {
			t.Errorf("%s %s with %.80q: %.200v, want %d %s", op.Method, op.Path, lines, replies, status, code)
		}
	}
	for _, op := range s.app.Operations() {
		changes := op.Method != http.MethodGet
		switch {
		case isPage(op) && op.Role > auth.Public:
			expect(op, 401, "ambiguous_session", cookie, cookie)
			expect(op, 401, "ambiguous_session", cookie+"; "+name+"=x")
			expect(op, 401, "ambiguous_key", cookie, "api-key: "+s.admin)
			expect(op, 401, "sign_in_required", "Cookie: "+name[:len(name)-8]+"00000000="+token)
			expect(op, 401, "sign_in_required", "Cookie: __Host-"+name+"="+token)
			expect(op, 401, "sign_in_required", "Cookie: "+strings.ToUpper(name)+"="+token)
			expect(op, 401, "session_ended", "Cookie: "+name+"="+s.admin)
			expect(op, 401, "session_ended", "Cookie: "+name+"="+token[1:])
			expect(op, 403, "cross_origin", cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")
			expect(op, 403, "cross_origin", cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Origin: http://themis.example:81")
		case !isPage(op) && op.Role > auth.Public:
			expect(op, 401, "key_required", cookie)
			expect(op, 401, "key_required", cookie, "Sec-Fetch-Site: same-origin", "Origin: http://themis.example", "HX-Request: true")
			expect(op, 401, "key_required", cookie, form, "X-HTTP-Method-Override: GET")
			if len(op.Body) > 0 { // a form is no JSON, and a page elsewhere can't send that unasked
				expect(op, 415, "unsupported_media_type", form, "api-key: "+s.admin, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
			}
		}
		if isPage(op) && changes { // public ones, too
			for _, from := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: null", "Origin: https://evil.example", "Origin: http://themis.example.evil.example"} {
				expect(op, 403, "cross_origin", cookie, from, form)
				expect(op, 403, "cross_origin", "api-key: "+s.admin, from, form)
			}
		}
	}
	if tries < 150 {
		t.Errorf("only %d tries", tries)
	}
	s.searchForKeys()
}

// TestPipelinedKeys holds that a key is for its own request, not for the
// connection.
func TestPipelinedKeys(t *testing.T) {
	s := startSecured(t)
	keep := strings.NewReplacer("Connection: close\r\n", "")
	tries := 0
	for _, op := range s.app.Operations() {
		if op.Role == auth.Public {
			continue
		}
		for _, first := range []string{
			request("GET", "/tables", "", "Authorization: Bearer "+s.admin),
			request("POST", "/query", `{"table":"t"}`, "api-key: "+s.admin),
			request("GET", "/livez", "", "api-key: "+s.admin),
		} {
			tries++
			replies := s.raw(keep.Replace(first)+request(op.Method, path(op.Path), bodyFor(op.Method)), "GET", op.Method)
			if len(replies) != 2 || replies[0].status == 401 || replies[1].status != 401 {
				t.Errorf("%s %s after %q: %+v", op.Method, op.Path, first, replies)
			}
		}
	}
	if tries < 100 {
		t.Errorf("only %d tries", tries)
	}
	s.searchForKeys()
}
