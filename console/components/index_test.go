package components

import (
	"strings"
	"testing"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/server/auth"
)

func TestIndexForms(t *testing.T) {
	i := Index{Table: "t", Columns: []string{"a.b", `"><i>`}, Type: "composite"}
	if i.Name() != `t.a.b,"><i> (composite)` {
		t.Errorf("name %s", i.Name())
	}
	v := &view.View{Root: "../", Principal: auth.Principal{Role: auth.ReadWrite}}
	got := render(t, v, CreateIndex(i, "Create this index", true, "dimension", "3"))
	for _, want := range []string{`action="../indexes/create"`, `name="column" value="a.b"`, `name="column" value="&#34;&gt;&lt;i&gt;"`, `name="type" value="composite"`, `name="dimension" value="3"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	got = render(t, v, IndexLink(i))
	if !strings.Contains(got, `href="../indexes/index?column=a.b&amp;column=%22%3E%3Ci%3E&amp;table=t&amp;type=composite"`) || strings.Contains(got, "<i>") {
		t.Errorf("link %s", got)
	}
}
