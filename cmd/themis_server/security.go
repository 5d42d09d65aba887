package main

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/session"
)

// How the keys of security reach the server.

// authKeys is nil if nobody is asked for a key.
func authKeys(c *config.Server) (*auth.Keys, error) {
	if !c.EnableAuth {
		return nil, nil
	}
	return auth.NewKeys(c.AuthKeys())
}

// tlsOptions is nil for plain HTTP.
func tlsOptions(c *config.Server) *server.TLSOptions {
	if !c.EnableTLS {
		return nil
	}
	return &server.TLSOptions{CertFile: c.TLSCert, KeyFile: c.TLSKey, ClientCAFile: c.TLSCA}
}

func rateLimits(c *config.Server) server.RateLimits {
	return server.RateLimits{PerKey: float64(c.RateLimitPerKey), PerAddress: float64(c.RateLimitPerAddress), Burst: c.RateLimitBurst}
}

// newSessions are those of the console. The database's timeline tells servers on
// one host apart.
func newSessions(c *config.Console, db *engine.Engine) (*session.Sessions, error) {
	timeline, err := db.FeedTimeline()
	if err != nil {
		return nil, err
	}
	return session.New(sessionOptions(c, timeline)), nil
}

func sessionOptions(c *config.Console, instance string) session.Options {
	return session.Options{
		Instance: instance,
		Idle:     time.Duration(c.SessionIdleMinutes) * time.Minute,
		MaxAge:   time.Duration(c.SessionMaxHours) * time.Hour,
	}
}

// trustedProxies reads networks and single addresses.
func trustedProxies(c *config.Server) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				return nil, err
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// auditLog is who changed what. Logger and entries are nil while it is off.
type auditLog struct {
	logger *slog.Logger
	// entries are the newest.
	entries *logging.Entries
	file    *logging.Log
}

// newAudit makes the audit log: a file of its own if one is named, else a part
// of the log if callers are told apart at all.
func newAudit(c *config.Config, logger *slog.Logger) (*auditLog, error) {
	a := &auditLog{file: &logging.Log{}}
	switch l := &c.Logging; {
	case l.AuditFile != "":
		var err error
		if a.logger, a.file, err = logging.OpenAudit(l.AuditFile, l.RotationSizeMB, l.MaxFiles); err != nil {
			return nil, err
		}
	case c.Server.EnableAuth:
		a.logger = logging.Unfiltered(logger).With(logging.Component, "audit")
	default:
		return a, nil
	}
	a.entries = logging.NewEntries()
	if c.Logging.AuditFile != "" {
		if err := logging.Preload(a.entries, c.Logging.AuditFile); err != nil {
			logger.Warn("what is in the audit file already could not be read; the console shows what comes", "error", err)
		}
	}
	a.logger = logging.Keep(a.logger, a.entries)
	return a, nil
}
