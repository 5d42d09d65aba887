package consoletest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"golang.org/x/net/html"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/auth"
)

// Render writes a component as the frame would show it to somebody with a role.
func Render(t testing.TB, role auth.Role, content templ.Component) string {
	t.Helper()
	var out strings.Builder
	ctx := view.With(t.Context(), &view.View{Root: "./", Base: "http://localhost:8765", Principal: auth.Principal{Role: role}})
	if err := content.Render(ctx, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// hostile is what tests store to see whether it comes back as more than text.
const hostile = "<script>alert"

// Content is the beginning of what a page shows, without the frame, for messages.
func Content(body string) string {
	body = content(body)
	return body[:min(len(body), 4000)]
}

func content(body string) string {
	if _, main, found := strings.Cut(body, "<main"); found {
		return main
	}
	return body
}

// Reads fails the test unless the texts stand in a page, or in a part of one, in this
// order, and others don't; nor does a script that is data.
func (s *Site) Reads(body string, there []string, not ...string) {
	s.Helper()
	body = content(body)
	rest := body
	for _, text := range there {
		_, after, found := strings.Cut(rest, text)
		if !found {
			s.Errorf("%q is missing, or out of order, in\n%s", text, body)
			return
		}
		rest = after
	}
	for _, text := range append(not, hostile) {
		if strings.Contains(body, text) {
			s.Errorf("%q stands in\n%s", text, body)
		}
	}
}

var connect = regexp.MustCompile(`sse-connect="\./([^"]*)"`)

// StreamOf is the stream that a page follows, for Stream.
func (s *Site) StreamOf(body string) string {
	s.Helper()
	found := connect.FindStringSubmatch(body)
	if found == nil {
		s.Fatalf("no stream in %s", body)
	}
	return strings.ReplaceAll(found[1], "&amp;", "&")
}

// Parse reads a page.
func (s *Site) Parse(body string) *html.Node {
	s.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	return doc
}

// Words is the text below a node.
func Words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
