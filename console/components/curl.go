package components

import (
	"context"
	"strings"

	"github.com/vccdb/vccdb/console/view"
)

// Command is a call of the REST API as a command for a POSIX shell. The media type
// is that of the body, which may be empty. The key is asked of the environment, so
// that it isn't in what is copied.
func Command(ctx context.Context, method, path, media, body string) string {
	v := view.Of(ctx)
	var b strings.Builder
	b.WriteString("curl")
	if method != "GET" {
		b.WriteString(" -X " + method)
	}
	b.WriteString(" " + Quote(v.Base+path))
	if !v.AuthOff {
		b.WriteString(` -H "Authorization: Bearer $THEMIS_API_KEY"`)
	}
	switch {
	case body == "":
	case strings.HasSuffix(media, "json") && !strings.Contains(media, "ndjson"):
		b.WriteString(" -H 'Content-Type: " + media + "' -d " + Quote(body))
	default: // -d would take the ends of lines away
		b.WriteString(" -H 'Content-Type: " + media + "' --data-binary " + Quote(body))
	}
	return b.String()
}

// Quote makes one word of a text for a POSIX shell.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
