// Package errs is the one error type that crosses package borders: a kind that
// decides how a caller reacts, a stable code that clients match on, and a
// sentence that says what happened, what was kept and what to do.
//
// It owns no goroutines and no locks.
package errs

import (
	"errors"
	"fmt"
)

// Kind groups errors by how a caller should react. Each kind maps to one HTTP
// status in server/api.
type Kind uint8

const (
	// Internal is a fault of ours: a bug or a broken environment.
	Internal Kind = iota
	// Invalid is bad input; sending it again can't help.
	Invalid
	// NotFound names a thing that isn't there.
	NotFound
	// Conflict is a clash with the present state (duplicate, wrong state).
	Conflict
	// Precondition is a failed If-Match, If-None-Match or if_version.
	Precondition
	// TooLarge is input beyond a configured size limit.
	TooLarge
	// NotSupported is a well-formed request for something that isn't built yet.
	NotSupported
	// Unavailable is a state that passes: starting, draining, overloaded.
	Unavailable
	// Timeout is work stopped because its time was up.
	Timeout
	// Canceled is work stopped because its caller went away.
	Canceled
	// StorageFull is a write refused for want of disk space.
	StorageFull
	// Corrupt is data that fails its own checks.
	Corrupt
	// Unauthenticated is a caller who didn't say who they are, or not credibly.
	Unauthenticated
	// Forbidden is a caller who may not do this.
	Forbidden
	// RateLimited is a caller who asks too often.
	RateLimited
	// Gone is something that was there and isn't kept any more.
	Gone
)

// FieldError points at one bad field of a request body.
type FieldError struct {
	// Pointer is an RFC 6901 JSON pointer into the body.
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Error is the error that crosses package borders.
type Error struct {
	Kind Kind
	// Code is stable and machine-readable: entity_not_found, dimension_mismatch.
	Code string
	// Detail is a sentence for a person.
	Detail string
	// Fields names the bad fields, if the input had any.
	Fields []FieldError
	// Numbers are what a program may want from the detail, by name:
	// oldest_sequence.
	Numbers map[string]uint64
	// Err is the cause, nil if there is none. It is logged, never sent to a client.
	Err error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error without a cause.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes an error with a cause.
func Wrap(err error, kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...), Err: err}
}

// Field makes an Invalid error about one field of a request body.
func Field(code, pointer, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	return &Error{
		Kind:   Invalid,
		Code:   code,
		Detail: detail,
		Fields: []FieldError{{Pointer: pointer, Detail: detail}},
	}
}

// KindOf returns the kind of the first Error in err's chain, Internal if there
// is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// CodeOf returns the code of the first Error in err's chain, "internal" if
// there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "internal"
}
