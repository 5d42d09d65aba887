package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/server/logging"
)

// startProfiles serves Go's profiles to this machine, on a listener of its own;
// port 0 serves none.
func startProfiles(port int, logger *slog.Logger) (io.Closer, error) {
	if port == 0 {
		return io.NopCloser(nil), nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%w; stop what listens there or set server.pprof_port", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	profiles := &http.Server{Handler: onlyLocal(mux), ReadHeaderTimeout: 10 * time.Second}
	logger.Info("profiles are served", logging.Component, "pprof", "address", listener.Addr().String())
	go profiles.Serve(listener) // it ends with Close, whose error is the only one
	return profiles, nil
}

// onlyLocal refuses names of other hosts: a web page could have its own name
// point here, and read the answers.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "ask for 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
