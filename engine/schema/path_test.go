package schema

import (
	"strings"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestParsePath(t *testing.T) {
	for _, good := range []string{"a", "a.b.c", "é", "with space", `q"`, strings.Repeat("x", MaxPathBytes)} {
		if p, err := ParsePath(good); err != nil || p.String() != good {
			t.Errorf("%q: %v, %v", good, p, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "\xff", strings.Repeat("x", MaxPathBytes+1)} {
		if p, err := ParsePath(bad); errs.CodeOf(err) != "invalid_column" {
			t.Errorf("%q: %v, %v", bad, p, err)
		}
	}
}
