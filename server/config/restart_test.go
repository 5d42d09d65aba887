package config

import (
	"strings"
	"testing"
)

func TestAfterRestart(t *testing.T) {
	f := newFixture(t, `{"server": {"port": 9000}, "logging": {"level": "info"}}`, nil)
	want := func(keys ...string) {
		t.Helper()
		changes, err := f.live.AfterRestart()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, c.Key+" "+string(c.From)+" to "+string(c.To))
		}
		if strings.Join(got, ", ") != strings.Join(keys, ", ") {
			t.Errorf("a restart would change %q, want %q", got, keys)
		}
	}
	want()
	f.edit(`{"logging.level": "debug", "persist": true}`)
	want()
	f.edit(`{"logging.level": "warn"}`)
	want(`logging.level "warn" to "debug"`)
	f.file(`{"server": {"port": 9001}, "logging": {"level": "info"}}`)
	want(`server.port 9000 to 9001`, `logging.level "warn" to "debug"`)
	f.file(`{"server": {"port": "many"}}`)
	if changes, err := f.live.AfterRestart(); err == nil {
		t.Errorf("a restart with a broken file would change %v", changes)
	}
}
