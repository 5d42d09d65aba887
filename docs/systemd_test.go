package docs_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unit is a systemd unit file: the values of each key, by section.key.
type unit struct {
	name   string
	values map[string][]string
}

func (u *unit) one(key string) string {
	if v := u.values[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// loadUnit reads the unit from where systemd looks for it.
func (s *shim) loadUnit(name string) (*unit, error) {
	if !strings.Contains(name, ".") {
		name += ".service"
	}
	content, err := os.ReadFile(s.in("/etc/systemd/system/" + name))
	if err != nil {
		return nil, fmt.Errorf("unit %s could not be found", name)
	}
	u := &unit{name: name, values: map[string][]string{}}
	section := ""
	text := strings.ReplaceAll(string(content), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" {
			return nil, fmt.Errorf("%s: %q isn't an assignment", name, line)
		}
		key = section + "." + strings.TrimSpace(key)
		u.values[key] = append(u.values[key], strings.TrimSpace(value))
	}
	return u, nil
}

// systemctl manages the services of the sandbox.
func systemctl(s *shim) error {
	if len(s.args) == 0 {
		return s.unknown()
	}
	verb := s.args[0]
	s.args = s.args[1:]
	found, err := s.options([]string{"--now", "--no-pager"}, nil)
	if err != nil {
		return err
	}
	if verb == "daemon-reload" && len(s.args) == 0 {
		files, err := filepath.Glob(s.in("/etc/systemd/system/*"))
		for _, file := range files {
			if _, loadErr := s.loadUnit(filepath.Base(file)); loadErr != nil {
				err = loadErr
			}
		}
		return err
	}
	if len(s.args) == 0 {
		return s.unknown()
	}
	for _, name := range s.args {
		u, err := s.loadUnit(name)
		if err != nil {
			return err
		}
		if err := s.manage(u, verb, found["--now"] != ""); err != nil {
			return err
		}
	}
	return nil
}

func (s *shim) manage(u *unit, verb string, now bool) error {
	switch verb {
	case "enable", "disable":
		if u.one("Install.WantedBy") == "" {
			return fmt.Errorf("%s has no [Install] section", u.name)
		}
		if now && verb == "enable" {
			return s.start(u)
		}
		return nil
	case "start":
		return s.start(u)
	case "stop":
		return s.stop(u)
	case "restart":
		if err := s.stop(u); err != nil {
			return err
		}
		return s.start(u)
	case "reload":
		return s.reload(u)
	case "is-active", "status":
		if s.mainPID(u) == 0 {
			fmt.Println("inactive")
			return fmt.Errorf("%s is not running", u.name)
		}
		fmt.Println("active")
		return nil
	}
	return fmt.Errorf("the documents' systemctl doesn't know %q", verb)
}

// mainPID is the process of a running service, 0 if there is none.
func (s *shim) mainPID(u *unit) int {
	content, err := os.ReadFile(s.state(u.name + ".pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || gone(pid) {
		return 0
	}
	return pid
}

// gone says whether a process has ended, reaped or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

// prepare makes what systemd makes and checks what it would trip over.
func (s *shim) prepare(u *unit) error {
	for key, parent := range map[string]string{"StateDirectory": "/var/lib", "LogsDirectory": "/var/log", "RuntimeDirectory": "/run", "ConfigurationDirectory": "/etc"} {
		for _, dir := range strings.Fields(u.one("Service." + key)) {
			if err := os.MkdirAll(s.in(parent+"/"+dir), 0o750); err != nil {
				return err
			}
		}
	}
	if err := s.checkOwner(u.one("Service.User") + ":" + u.one("Service.Group")); err != nil && u.one("Service.DynamicUser") != "yes" {
		return err
	}
	for _, line := range u.values["Service.ReadWritePaths"] {
		for _, path := range strings.Fields(line) {
			if _, err := os.Stat(path); err != nil && path[0] != '-' {
				return fmt.Errorf("%s: ReadWritePaths: %w", u.name, err)
			}
		}
	}
	return nil
}

// environment is what the unit gives to its processes, and nothing of the shell's.
func (s *shim) environment(u *unit) ([]string, error) {
	environ := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.Getenv("TMPDIR"), shimRoot + "=" + s.root}
	credentials := s.state(u.name + ".credentials")
	for _, line := range u.values["Service.LoadCredential"] {
		name, file, _ := strings.Cut(line, ":")
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(credentials, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(credentials, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	for _, line := range u.values["Service.Environment"] {
		for _, pair := range strings.Fields(line) {
			environ = append(environ, strings.ReplaceAll(strings.Trim(pair, `"`), "%d", credentials))
		}
	}
	for _, file := range u.values["Service.EnvironmentFile"] {
		content, err := os.ReadFile(strings.TrimPrefix(file, "-"))
		if err != nil && file[0] != '-' {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				environ = append(environ, line)
			}
		}
	}
	return environ, nil
}

// command is a command line of a unit, which needs an absolute path.
func (u *unit) command(line string, pid int) (*exec.Cmd, error) {
	fields := strings.Fields(strings.ReplaceAll(strings.TrimLeft(line, "-+!@"), "$MAINPID", strconv.Itoa(pid)))
	if len(fields) == 0 || !filepath.IsAbs(fields[0]) {
		return nil, fmt.Errorf("%s: %q isn't an absolute path to a program", u.name, line)
	}
	return exec.Command(fields[0], fields[1:]...), nil
}

func (s *shim) start(u *unit) error {
	if strings.HasSuffix(u.name, ".timer") {
		service := u.one("Timer.Unit")
		if service == "" {
			service = strings.TrimSuffix(u.name, ".timer") + ".service"
		}
		if u.one("Timer.OnCalendar") == "" {
			return fmt.Errorf("%s has no OnCalendar", u.name)
		}
		_, err := s.loadUnit(service)
		return err
	}
	if s.mainPID(u) != 0 {
		return nil
	}
	if err := s.prepare(u); err != nil {
		return err
	}
	environ, err := s.environment(u)
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(s.state(u.name+".journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer journal.Close()
	fmt.Fprintf(journal, "Starting %s...\n", u.one("Unit.Description"))
	for _, line := range slices.Concat(u.values["Service.ExecStartPre"], u.values["Service.ExecStart"]) {
		cmd, err := u.command(line, 0)
		if err != nil {
			return err
		}
		cmd.Env, cmd.Stdout, cmd.Stderr = environ, journal, journal
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if cmd.Dir = u.one("Service.WorkingDirectory"); cmd.Dir == "" {
			cmd.Dir = s.root
		}
		last := line == u.one("Service.ExecStart")
		if u.one("Service.Type") == "oneshot" || !last {
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %s: %w; see journalctl -u %s", u.name, line, err, u.name)
			}
			continue
		}
		if err := s.launch(u, cmd); err != nil {
			return err
		}
	}
	return nil
}

// startWithin is what a service gets to say that it is ready.
const startWithin = 30 * time.Second

// launch starts the main process and, for a service that says when it is ready,
// waits for that.
func (s *shim) launch(u *unit, cmd *exec.Cmd) error {
	notifies := u.one("Service.Type") == "notify"
	var socket *net.UnixConn
	if notifies {
		path := s.state(u.name + ".notify")
		_ = os.Remove(path)
		var err error
		if socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
			return err
		}
		defer socket.Close()
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(s.state(u.name+".pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return err
	}
	for deadline, message := time.Now().Add(startWithin), make([]byte, 4096); notifies; {
		_ = socket.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := socket.Read(message)
		switch {
		case err == nil && slices.Contains(strings.Split(string(message[:n]), "\n"), "READY=1"):
			return nil
		case gone(cmd.Process.Pid):
			return fmt.Errorf("%s failed; see journalctl -u %s", u.name, u.name)
		case time.Now().After(deadline):
			return fmt.Errorf("%s did not say that it is ready", u.name)
		}
	}
	return nil
}

// stopWithin is what systemd gives a service to end, unless the unit says more.
const stopWithin = 40 * time.Second

func (s *shim) stop(u *unit) error {
	pid := s.mainPID(u)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopWithin); !gone(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not stop", u.name)
		}
	}
	return os.Remove(s.state(u.name + ".pid"))
}

func (s *shim) reload(u *unit) error {
	pid := s.mainPID(u)
	if pid == 0 {
		return fmt.Errorf("%s is not running", u.name)
	}
	line := u.one("Service.ExecReload")
	if line == "" {
		return fmt.Errorf("%s has no ExecReload", u.name)
	}
	// The real kill is a program, in the sandbox it is a call.
	if fields := strings.Fields(line); slices.Contains([]string{"/bin/kill", "/usr/bin/kill"}, fields[0]) {
		if len(fields) != 3 || fields[1] != "-HUP" || fields[2] != "$MAINPID" {
			return fmt.Errorf("%s: ExecReload is %q", u.name, line)
		}
		return syscall.Kill(pid, syscall.SIGHUP)
	}
	cmd, err := u.command(line, pid)
	if err != nil {
		return err
	}
	return cmd.Run()
}

// journalctl prints what a unit wrote.
func journalctl(s *shim) error {
	found, err := s.options([]string{"--no-pager"}, []string{"-u", "-n", "-o"})
	if err != nil || found["-u"] == "" || len(s.args) > 0 {
		return s.unknown()
	}
	u, err := s.loadUnit(found["-u"])
	if err != nil {
		return err
	}
	content, err := os.ReadFile(s.state(u.name + ".journal"))
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(content), "\n")
	if n, err := strconv.Atoi(found["-n"]); err == nil {
		lines = lines[max(0, len(lines)-1-n):]
	}
	fmt.Print(strings.Join(lines, ""))
	return nil
}
