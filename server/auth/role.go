// Package auth says who a caller is and what a route asks of them: API keys,
// principals and roles. It knows nothing of HTTP.
//
// It owns no goroutines and no locks; keys don't change after they are made.
package auth

// Role orders what callers may do; each includes those before it. The zero value
// belongs to nobody, so that a route without a role lets nobody in.
type Role uint8

// The roles. Public is for routes that ask for no key.
const (
	Public Role = iota + 1
	ReadOnly
	ReadWrite
	Admin
)

// String is the role's name in the configuration.
func (r Role) String() string {
	switch r {
	case Public:
		return "public"
	case ReadOnly:
		return "readonly"
	case ReadWrite:
		return "readwrite"
	case Admin:
		return "admin"
	}
	return "nobody"
}
