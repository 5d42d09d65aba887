package server

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
)

// knownHost refuses requests for a name that isn't the server's, where the name
// is all that stands between it and the web: while it listens on this machine
// only and asks for no key. A web page can have its own name resolve to this
// machine, and its scripts then count as of the same origin (DNS rebinding).
// Trusted proxies pass on whatever name they are asked for.
func (s *Server) knownHost(c fiber.Ctx) error {
	if !s.o.Local || s.isProxy(addrOf(c.RequestCtx().RemoteAddr())) {
		return nil
	}
	host := string(c.Request().Host())
	name, _, err := net.SplitHostPort(host)
	if err != nil { // there is no port
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	_, err = netip.ParseAddr(name)
	if err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(s.o.Hosts, name) {
		return nil
	}
	return errs.New(errs.Forbidden, "unknown_host", "The request is for %q, which isn't a name of this server. It asks for no key and listens on this machine only, so it answers to localhost, to addresses, and to the names in server.allowed_hosts. Nothing was done.", name)
}
