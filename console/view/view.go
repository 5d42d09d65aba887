// Package view carries what a page's templates may know of the request they are
// rendered for: who asks, and how links lead from it to other pages. It travels in
// the context that templ hands to components.
//
// It owns no goroutines and no locks; a View doesn't change while it is rendered.
package view

import (
	"context"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"github.com/vccdb/vccdb/server/auth"
)

// View is what templates may know.
type View struct {
	// Root leads from the page's URL to /console/: "./", "../", "../../"...
	Root string
	// Here is the page's own path and query below /console/.
	Here string
	// Base is the address of the REST API as the client reaches it, without a
	// slash at its end.
	Base string
	// Principal is who asks; AuthOff says that nobody is asked for a key.
	Principal auth.Principal
	AuthOff   bool
	// Theme is light, dark or empty for the system's.
	Theme string
	// Nonce is for styles that scripts make.
	Nonce string
	// Notice was left by the request before this one.
	Notice string
	// Warnings stand above every page.
	Warnings []string
	// Styles, Scripts and Mark are the names of the files that pages load; Scripts
	// is empty in a build without them.
	Styles, Scripts, Mark string
}

type key struct{}

// With returns a context for rendering.
func With(ctx context.Context, v *View) context.Context { return context.WithValue(ctx, key{}, v) }

// Of never returns nil: outside of a frame, as in the test of a component, it is
// a view of nobody.
func Of(ctx context.Context) *View {
	if v, ok := ctx.Value(key{}).(*View); ok {
		return v
	}
	return &View{Root: "./"}
}

// URL is the link to a path below /console/, relative to the page that is being
// rendered, so that it works below any prefix that a proxy adds. The path's
// parts are escaped; query are names and values in turn, of which those without
// a value are left out.
//
//	view.URL(ctx, "tables/"+view.Segment(name), "cursor", next)
func URL(ctx context.Context, path string, query ...string) templ.SafeURL {
	return templ.SafeURL(Of(ctx).Root + WithQuery(path, query))
}

// maxLink is the longest link that what people wrote becomes.
const maxLink = 2000

// Linkable says whether a path and a query, as for URL, are short enough for a link
// that people pass on; servers and proxies take more.
func Linkable(path string, query []string) bool { return len(WithQuery(path, query)) <= maxLink }

// URLIf is URL, or empty, which leads nowhere.
func URLIf(ctx context.Context, leads bool, path string, query ...string) templ.SafeURL {
	if !leads {
		return ""
	}
	return URL(ctx, path, query...)
}

// Segment escapes a name to stand between slashes in a path for URL.
func Segment(name string) string {
	// url.PathEscape leaves dots alone, of which a segment may not consist.
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// WithQuery adds names and values in turn to a path; those without a value are
// left out.
func WithQuery(path string, query []string) string {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			values.Add(query[i], query[i+1])
		}
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// May says whether who asks for the page has the role at least.
func May(ctx context.Context, role auth.Role) bool { return Of(ctx).Principal.Role >= role }

// Who asks for the page.
func Who(ctx context.Context) auth.Principal { return Of(ctx).Principal }

// AuthOff says that nobody is asked for a key.
func AuthOff(ctx context.Context) bool { return Of(ctx).AuthOff }

// Base is the address of the REST API as the client reaches it, such as
// http://localhost:8765.
func Base(ctx context.Context) string { return Of(ctx).Base }

// Scripted says that the scripts are built in. Even so a page has to make sense
// without them.
func Scripted(ctx context.Context) bool { return Of(ctx).Scripts != "" }
