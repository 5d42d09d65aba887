package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"

	"github.com/vccdb/vccdb/server/auth"
)

// validate checks what no single key can.
func (c *Config) validate() Problems {
	var p Problems
	fail := func(format string, args ...any) { p = append(p, fmt.Sprintf(format, args...)) }
	s := &c.Storage
	if s.MaxOpenFiles == 0 {
		fail("storage.max_open_files is 0; it must be -1, for all, or a whole number from 1")
	}
	if s.MinWriteBufferNumberToMerge >= s.MaxWriteBufferNumber {
		fail("storage.min_write_buffer_number_to_merge is %d; it must be below storage.max_write_buffer_number, which is %d",
			s.MinWriteBufferNumberToMerge, s.MaxWriteBufferNumber)
	}
	if s.Level0SlowdownWritesTrigger < s.Level0FileNumCompactionTrigger {
		fail("storage.level0_slowdown_writes_trigger is %d; it must not be below storage.level0_file_num_compaction_trigger, which is %d",
			s.Level0SlowdownWritesTrigger, s.Level0FileNumCompactionTrigger)
	}
	if s.Level0StopWritesTrigger < s.Level0SlowdownWritesTrigger {
		fail("storage.level0_stop_writes_trigger is %d; it must not be below storage.level0_slowdown_writes_trigger, which is %d",
			s.Level0StopWritesTrigger, s.Level0SlowdownWritesTrigger)
	}
	if c.VectorIndex.HNSWEfConstruction < c.VectorIndex.HNSWM {
		fail("vector_index.hnsw_ef_construction is %d; it must not be below vector_index.hnsw_m, which is %d",
			c.VectorIndex.HNSWEfConstruction, c.VectorIndex.HNSWM)
	}
	if h := c.Server.Host; net.ParseIP(h) == nil && !hostName.MatchString(h) {
		fail("server.host is %q; it must be an IP address or a host name, without a port", h)
	}
	if s.EnableWALArchival && s.WALArchivePath == "" {
		fail("storage.enable_wal_archival is true, but storage.wal_archive_path is empty; name the folder of the archive")
	}
	return append(p, c.Server.validate()...)
}

func (s *Server) validate() Problems {
	var p Problems
	fail := func(format string, args ...any) { p = append(p, fmt.Sprintf(format, args...)) }
	if s.EnableAuth && len(s.APIKeys) == 0 {
		fail("server.enable_auth is true, but server.api_keys is empty, so that nobody could get in; themis_server --hash-key makes a key")
	}
	if _, err := auth.NewKeys(s.AuthKeys()); err != nil {
		fail("server.api_keys: %v", err)
	}
	if s.EnableTLS && (s.TLSCert == "" || s.TLSKey == "") {
		fail("server.enable_tls is true, but server.tls_cert or server.tls_key is empty; name the files of the certificate and its key")
	}
	if s.TLSCA != "" && !s.EnableTLS {
		fail("server.tls_ca asks clients for certificates, but server.enable_tls is false; set it to true or leave tls_ca out")
	}
	for _, name := range s.AllowedHosts {
		if !hostName.MatchString(name) {
			fail("server.allowed_hosts holds %q; it must hold names of hosts, without ports", name)
		}
	}
	for _, proxy := range s.TrustedProxies {
		if _, err := netip.ParsePrefix(proxy); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(proxy); err != nil {
			fail("server.trusted_proxies holds %q; it must hold networks, as 10.0.0.0/8, or addresses", proxy)
		}
	}
	if s.PprofPort != 0 && s.PprofPort == s.Port {
		fail("server.pprof_port is %d, as server.port is; it needs a port of its own", s.PprofPort)
	}
	return p
}

// derive fills in the paths that lie beside or among the data.
func derive(values layer) {
	data := filepath.Clean(values[pathKey].value.(string))
	set := func(path string, value any) { values[path] = given{value, values[path].from} }
	if len(values[snapshotsKey].value.([]string)) == 0 {
		set(snapshotsKey, []string{filepath.Join(filepath.Dir(data), "snapshots")})
	}
	if values[backupKey].value == "" {
		set(backupKey, filepath.Join(filepath.Dir(data), "backups"))
	}
	if values[overlayKey].value == "" {
		set(overlayKey, filepath.Join(data, "config-overlay.json"))
	}
}

// warnings are what is allowed but hardly meant.
func (c *Config) warnings() []string {
	s := &c.Server
	w := s.Exposure()
	if !s.EnableAuth && len(s.APIKeys) > 0 {
		w = append(w, "server.api_keys has no effect while server.enable_auth is false")
	}
	if s.EnableAuth && !s.EnableTLS && !s.Loopback() {
		w = append(w, "API keys travel unencrypted while server.enable_tls is false, unless a proxy in front of the server encrypts them")
	}
	if !s.EnableTLS && (s.TLSCert != "" || s.TLSKey != "") {
		w = append(w, "server.tls_cert and server.tls_key have no effect while server.enable_tls is false")
	}
	return w
}

// Exposure says that anybody who reaches the server may do everything, in one
// sentence; there is none if that isn't so.
func (s *Server) Exposure() []string {
	if s.EnableAuth || s.Loopback() {
		return nil
	}
	return []string{fmt.Sprintf("THE SERVER IS OPEN: it listens on %s and asks for no key, so anybody who reaches it can read, change and delete everything; set server.enable_auth and server.api_keys, or server.host to 127.0.0.1", s.Host)}
}

// Loopback reports whether only this machine can connect.
func (s *Server) Loopback() bool {
	ip := net.ParseIP(s.Host)
	return s.Host == "localhost" || ip != nil && ip.IsLoopback()
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)
