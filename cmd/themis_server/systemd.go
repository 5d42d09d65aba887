package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// systemd tells the service manager how the server is, as sd_notify(3) says. The
// zero value, for servers that run otherwise, tells nobody.
type systemd struct {
	socket string
	// interval is how often the manager wants to hear that the server is alive; 0
	// is never.
	interval time.Duration
}

func newSystemd(environ []string) *systemd {
	value := func(name string) string {
		for _, entry := range environ {
			if text, ok := strings.CutPrefix(entry, name+"="); ok {
				return text
			}
		}
		return ""
	}
	s := &systemd{socket: value("NOTIFY_SOCKET")}
	pid := value("WATCHDOG_PID")
	if usec, err := strconv.ParseInt(value("WATCHDOG_USEC"), 10, 64); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.interval = time.Duration(usec) * time.Microsecond
	}
	return s
}

func (s *systemd) ready()    { s.send("READY=1") }
func (s *systemd) alive()    { s.send("WATCHDOG=1") }
func (s *systemd) stopping() { s.send("STOPPING=1") }

// watchdog ticks twice in each interval.
func (s *systemd) watchdog() (ticks <-chan time.Time, stop func()) {
	if s.socket == "" || s.interval < time.Millisecond {
		return nil, func() {}
	}
	ticker := time.NewTicker(s.interval / 2)
	return ticker.C, ticker.Stop
}

// send drops the message if it can't be sent: the manager draws its conclusions.
func (s *systemd) send(message string) {
	if s.socket == "" {
		return
	}
	conn, err := net.Dial("unixgram", s.socket) // a leading @ is the abstract name space
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	conn.Write([]byte(message))
}
