package view

import (
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	ctx := With(t.Context(), &View{Root: "../../"})
	for want, got := range map[string]string{
		"../../tables":               string(URL(ctx, "tables")),
		"../../tables?a=1&q=x+%26+y": string(URL(ctx, "tables", "q", "x & y", "empty", "", "a", "1")),
		"../../tables/a%2Fb%3F":      string(URL(ctx, "tables/"+Segment("a/b?"))),
		"../../tables/%2E%2E/entity": string(URL(ctx, "tables/"+Segment("..")+"/entity")),
		"../../tables/...a":          string(URL(ctx, "tables/"+Segment("...a"))),
		"../../feed?from=1":          string(URLIf(ctx, true, "feed", "from", "1")),
		"":                           string(URLIf(ctx, false, "feed", "from", "1")),
		"./":                         string(URL(t.Context(), "")), // without a frame
		"../../x?c=1&c=2":            string(URL(ctx, "x", "c", "1", "c", "2")),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLinkable(t *testing.T) {
	if !Linkable("query", []string{"q", strings.Repeat("x", maxLink-8)}) || Linkable("query", []string{"q", strings.Repeat("x", maxLink-7)}) || Linkable("query", []string{"q", strings.Repeat(" %", maxLink/2)}) {
		t.Error("the measure is of what stands in the link")
	}
}
