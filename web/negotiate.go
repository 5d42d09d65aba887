package web

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// file is a file in all its forms, the smallest first. The last one is as it is,
// without a coding.
type file struct {
	kind  string
	forms []form
}

// form is a file in one coding.
type form struct {
	coding, etag string
	body         []byte
}

// newFile leaves forms out that aren't there or aren't worth it.
func newFile(kind string, plain, brotli, gzip []byte) file {
	f := file{kind: kind}
	etag := digest(plain)
	add := func(coding string, body []byte) {
		if body != nil && len(body) < len(plain) {
			f.forms = append(f.forms, form{coding, `"` + etag + "-" + coding + `"`, body})
		}
	}
	add("br", brotli)
	add("gzip", gzip)
	slices.SortStableFunc(f.forms, func(a, b form) int { return cmp.Compare(len(a.body), len(b.body)) })
	f.forms = append(f.forms, form{"", `"` + etag + `"`, plain})
	return f
}

// choose is the smallest form that a client takes.
func (f file) choose(acceptEncoding string) form {
	for _, form := range f.forms {
		if form.coding != "" && Accepts(acceptEncoding, form.coding) {
			return form
		}
	}
	return f.forms[len(f.forms)-1]
}

// Accepts says whether an Accept-Encoding field has a coding, or stars for it,
// with a weight above zero.
func Accepts(field, coding string) bool {
	accepted := false
	for item := range strings.SplitSeq(field, ",") {
		name, params, _ := strings.Cut(item, ";")
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, coding):
			return weight(params) > 0
		case name == "*":
			accepted = weight(params) > 0
		}
	}
	return accepted
}

// weight is the q of a list's item: 1 if there is none, 0 if it is unreadable.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, _ := strconv.ParseFloat(strings.TrimSpace(value), 64) // 0 if it isn't a number
			return q
		}
	}
	return 1
}

// matches says whether an If-None-Match field has the tag.
func matches(field, etag string) bool {
	for tag := range strings.SplitSeq(field, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
