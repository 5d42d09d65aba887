package components

import (
	"strings"

	"github.com/vccdb/vccdb/console/view"
)

// curl is a command for a POSIX shell. The key is asked of the environment, so
// that it isn't in what is copied.
func curl(v *view.View, method, path, body string) string {
	var b strings.Builder
	b.WriteString("curl")
	if method != "GET" {
		b.WriteString(" -X " + method)
	}
	b.WriteString(" " + quote(v.Base+path))
	if !v.AuthOff {
		b.WriteString(` -H "Authorization: Bearer $THEMIS_API_KEY"`)
	}
	if body != "" {
		b.WriteString(" -H 'Content-Type: application/json' -d " + quote(body))
	}
	return b.String()
}

// quote makes one word of a text for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
