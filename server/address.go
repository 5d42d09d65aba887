package server

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"
)

// maxProxies bounds the addresses of X-Forwarded-For that are looked at.
const maxProxies = 32

// remote is the client's address: that of the connection, unless it is a trusted
// proxy's. Then it is the last address of X-Forwarded-For that isn't one; what
// stands before it is hearsay.
func (s *Server) remote(c fiber.Ctx) netip.Addr {
	addr := addrOf(c.RequestCtx().RemoteAddr())
	if !s.isProxy(addr) {
		return addr
	}
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	for i := 0; len(lines) > 0 && i < maxProxies; i++ {
		last := lines[len(lines)-1]
		comma := strings.LastIndexByte(string(last), ',')
		if comma < 0 {
			lines = lines[:len(lines)-1]
		} else {
			lines[len(lines)-1] = last[:comma]
		}
		hop, ok := parseHop(string(last[comma+1:]))
		if !ok {
			break
		}
		addr = hop
		if !s.isProxy(addr) {
			break
		}
	}
	return addr
}

func (s *Server) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(s.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// parseHop reads an address as proxies write it, with a port or without.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap(), err == nil
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
