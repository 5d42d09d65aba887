package components

import "github.com/a-h/templ"

// Tail is a list that grows by what a stream sends.
type Tail struct {
	// Stream is empty for a list that stays as it is, such as a page of older entries.
	Stream templ.SafeURL
	// Down lists grow at their end, which may be kept in view; others at their
	// beginning.
	Down bool
}
