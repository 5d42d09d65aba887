// Package auth says who a caller is and what a route asks of them: API keys,
// principals and roles. It knows nothing of HTTP.
//
// It owns no goroutines and no locks; keys don't change after they are made.
package auth

import (
	"strings"

	"github.com/vccdb/vccdb/internal/errs"
)

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

// ParseRole reads the role of a key. A key is never for public routes only.
func ParseRole(name string) (Role, error) {
	for _, role := range []Role{ReadOnly, ReadWrite, Admin} {
		if strings.EqualFold(name, role.String()) {
			return role, nil
		}
	}
	return 0, errs.New(errs.Invalid, "invalid_role", "%.32q is no role; it must be readonly, readwrite or admin", name)
}
