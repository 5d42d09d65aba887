package checks

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runBackup runs the backup script and returns its exit status and what it said.
func runBackup(t *testing.T, environment ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(deploy, "backup/themis-backup.sh"))
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestBackupScript makes backups of a server that wants a key.
func TestBackupScript(t *testing.T) {
	tool(t, "curl")
	const key = "a-key-for-this-test-alone-0123456789"
	hash := exec.Command(serverProgram, "--hash-key")
	hash.Stdin = strings.NewReader(key)
	out, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	keyHash := fields[len(fields)-1]
	// Keys come with a file only.
	file := filepath.Join(t.TempDir(), "themis.json")
	write(t, file, bytes.Replace(bytes.Replace(read(t, "themis.json"),
		[]byte(`"enable_auth": false`), []byte(`"enable_auth": true`), 1),
		[]byte(`"api_keys": [`), []byte(`"api_keys": [{"name": "backup", "role": "admin", "key_hash": "`+keyHash+`"}`), 1))
	s := startServerWith(t, file)
	s.key = key
	keyFile := filepath.Join(t.TempDir(), "key")
	write(t, keyFile, []byte(key+"\n"))

	s.want(201, "PUT", "/entities/books:dune", `{"year":1965}`)
	for run := 1; run <= 3; run++ {
		if code, said := runBackup(t, "THEMIS_URL="+s.url, "THEMIS_KEY_FILE="+keyFile); code != 0 || !strings.Contains(said, "kept: ") || strings.Contains(said, key) {
			t.Fatalf("run %d: %d %s", run, code, said)
		}
	}
	backups := func() int {
		var list struct{ Backups []struct{ ID int } }
		if err := json.Unmarshal([]byte(s.want(200, "GET", "/admin/backups", "")), &list); err != nil {
			t.Fatal(err)
		}
		return len(list.Backups)
	}
	if got := backups(); got != 3 {
		t.Errorf("%d backups after three runs within a day", got)
	}
	// A clock that is eight days ahead makes all of them old; the newest stays.
	ahead := t.TempDir()
	const clock = "#!/bin/sh\n[ \"$1\" = +%s ] && exec /bin/date -d '8 days' +%s\nexec /bin/date \"$@\"\n"
	if err := os.WriteFile(filepath.Join(ahead, "date"), []byte(clock), 0o700); err != nil {
		t.Fatal(err)
	}
	code, said := runBackup(t, "THEMIS_URL="+s.url, "THEMIS_KEY_FILE="+keyFile, "PATH="+ahead+":"+os.Getenv("PATH"))
	if code != 0 || backups() != 1 || !strings.Contains(said, "kept: 1") {
		t.Errorf("%d backups: %d %s", backups(), code, said)
	}

	for name, test := range map[string]struct {
		environment []string
		code        int
		says        string
	}{
		"no key":    {[]string{"THEMIS_URL=" + s.url}, 1, "401"},
		"no server": {[]string{"THEMIS_URL=http://127.0.0.1:1"}, 1, "no backup was made"},
		"no file":   {[]string{"THEMIS_KEY_FILE=/nonexistent"}, 64, "can't be read"},
		"no number": {[]string{"KEEP_DAYS=week"}, 64, "not a number"},
	} {
		if code, said := runBackup(t, test.environment...); code != test.code || !strings.Contains(said, test.says) {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
}
