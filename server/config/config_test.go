package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// load is Load with a file's content at hand.
func load(source Source, content []byte) (*Config, error) {
	in, err := readFrom(source, content)
	if err != nil {
		return nil, err
	}
	s, err := in.resolve()
	if err != nil {
		return nil, err
	}
	return s.config, nil
}

// TestKeysAndFieldsAgree holds that every key has a field of its type unless
// its feature comes later, and that every field has a key.
func TestKeysAndFieldsAgree(t *testing.T) {
	fields := map[string]reflect.Kind{}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for field := range typ.Fields() {
			name := field.Tag.Get("koanf")
			switch {
			case name == "-":
			case field.Type.Kind() == reflect.Struct:
				walk(prefix+name+".", field.Type)
			default:
				fields[prefix+name] = field.Type.Kind()
			}
		}
	}
	walk("", reflect.TypeFor[Config]())

	kinds := map[kind]reflect.Kind{boolean: reflect.Bool, integer: reflect.Int, text: reflect.String, list: reflect.Slice, apiKeys: reflect.Slice}
	for _, k := range keys {
		field, ok := fields[k.path]
		if wantField := k.later == "" && k.sets == nil; ok != wantField {
			t.Errorf("%s: has a field: %t, want %t", k.path, ok, wantField)
		}
		if ok && field != kinds[k.kind] {
			t.Errorf("%s: the field is %s, the key %s", k.path, field, kinds[k.kind])
		}
		delete(fields, k.path)
	}
	for path := range fields {
		t.Errorf("%s has no key", path)
	}
}

// TestKeysAreSound holds that defaults pass their own checks and that no two
// keys share a path or a variable.
func TestKeysAreSound(t *testing.T) {
	seen := map[string]string{}
	for i := range keys {
		k := &keys[i]
		for _, name := range append([]string{k.path, k.envName()}, k.env...) {
			if other, taken := seen[name]; taken {
				t.Errorf("%s and %s share %s", other, k.path, name)
			}
			seen[name] = k.path
		}
		if k.sets == nil {
			if _, err := k.check(k.neutral()); err != nil {
				t.Errorf("the default: %s %v", k.path, err)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	want := Config{
		Storage: Storage{
			RocksDBPath: "./data", MemtableSizeMB: 256, BlockCacheSizeMB: 1024, MaxOpenFiles: 10000,
			EnableStatistics: true, Compression: Compression{"lz4", "zstd"},
			MaxWriteBufferNumber: 2, MinWriteBufferNumberToMerge: 1,
			Level0FileNumCompactionTrigger: 4, Level0SlowdownWritesTrigger: 20, Level0StopWritesTrigger: 36,
			EnableBloomFilters: true, BloomBitsPerKey: 10, Durability: "sync",
			SnapshotDirs: []string{"snapshots"}, BackupDir: "backups", SnapshotKeep: 7, BackupKeep: 7,
		},
		Server: Server{Host: "127.0.0.1", Port: 8765, RequestTimeoutMs: 30000, MaxRequestSizeMB: 10,
			APIKeys: []APIKey{}, TrustedProxies: []string{}, AllowedHosts: []string{}, ConfigOverlay: "data/config-overlay.json"},
		Logging:     Logging{Level: "info", Format: "text", RotationSizeMB: 100, MaxFiles: 10},
		VectorIndex: VectorIndex{Engine: "hnsw", HNSWM: 16, HNSWEfConstruction: 200, EfSearch: 64, Quantization: "int8", CheckpointIntervalSeconds: 60, CheckpointOperations: 100_000},
		GPU:         GPU{Codes: "int8", MaxBatch: 1024, LatencyCapMs: 20},
		Query:       Query{ParallelThreshold: 100, BatchSize: 50, SlowThresholdMs: 100, FilterCacheMB: 64},

		Console:           Console{Enabled: true, SessionIdleMinutes: 30, SessionMaxHours: 12},
		CDCRetentionHours: 168,
	}
	got, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
	if got, err = load(Source{File: "x.json"}, []byte("{}")); err != nil || got.Server.Host != "0.0.0.0" {
		t.Errorf("with a file: %+v, %v; want host 0.0.0.0", got, err)
	}
}

func TestLayers(t *testing.T) {
	tests := []struct {
		name, content string
		environ, set  []string
		want          func(*Config) any
		value         any
	}{
		{name: "json", content: `{"server": {"port": 1}}`, want: port, value: 1},
		{name: "json whole float", content: `{"server": {"port": 1.0}}`, want: port, value: 1},
		{name: "json comments", content: "\ufeff// c\n{/* d */ \"server\": {\"port\": 1,},}", want: port, value: 1},
		{name: "dotted", content: `{"server.port": 1}`, want: port, value: 1},
		{name: "yaml", content: "# c\nserver:\n  port: 1\n", want: port, value: 1},
		{name: "yaml empty", content: "# nothing\n", want: port, value: 8765},
		{name: "env over file", content: `{"server": {"port": 1}}`, environ: []string{"THEMIS_SERVER_PORT=2"}, want: port, value: 2},
		{name: "env alias", environ: []string{"THEMIS_PORT=2"}, want: port, value: 2},
		{name: "both env names agree", environ: []string{"THEMIS_PORT=2", "THEMIS_SERVER_PORT=2"}, want: port, value: 2},
		{name: "flag over env", environ: []string{"THEMIS_PORT=2"}, set: []string{"server.port=3"}, want: port, value: 3},
		{name: "last flag", set: []string{"server.port=3", "server.port=4"}, want: port, value: 4},
		{name: "env path", environ: []string{"THEMIS_STORAGE_PATH=/d"}, want: path, value: "/d"},
		{name: "env full path", environ: []string{"THEMIS_STORAGE_ROCKSDB_PATH=/e"}, want: path, value: "/e"},
		{name: "env level", environ: []string{"THEMIS_LOG_LEVEL=trace"}, want: level, value: "trace"},
		{name: "env threads", environ: []string{"THEMIS_WORKER_THREADS=7"}, want: threads, value: 7},
		{name: "env boolean", environ: []string{"THEMIS_STORAGE_ENABLE_STATISTICS=false"}, want: statistics, value: false},
		{name: "compression", content: `{"storage": {"compression": "zstd"}}`, want: compression, value: Compression{"zstd", "zstd"}},
		{name: "compression object", content: `{"storage": {"compression": {"default": "none"}}}`, want: compression, value: Compression{"none", "zstd"}},
		{name: "compression env", content: `{"storage": {"compression": "none"}}`, environ: []string{"THEMIS_STORAGE_COMPRESSION_BOTTOMMOST=zlib"},
			want: compression, value: Compression{"none", "zlib"}},
		{name: "compression env over env", environ: []string{"THEMIS_STORAGE_COMPRESSION_BOTTOMMOST=zlib", "THEMIS_STORAGE_COMPRESSION=none"},
			want: compression, value: Compression{"none", "zlib"}},
		{name: "lists", environ: []string{"THEMIS_STORAGE_SNAPSHOT_DIRS=/a, /b"}, want: func(c *Config) any { return strings.Join(c.Storage.SnapshotDirs, "+") }, value: "/a+/b"},
		{name: "beside the data", environ: []string{"THEMIS_STORAGE_PATH=/x/d/"},
			want: func(c *Config) any {
				return fmt.Sprintln(c.Storage.SnapshotDirs, c.Storage.BackupDir, c.Server.ConfigOverlay)
			}, value: "[/x/snapshots] /x/backups /x/d/config-overlay.json\n"},
		{name: "keys in a file", content: "server:\n  enable_auth: true\n  api_keys: [{key: 0123456789abcdef, role: admin}, {key_hash: 'sha256:" + strings.Repeat("0a", 32) + "', role: readonly, name: app}]\n",
			want: func(c *Config) any { return fmt.Sprint(c.Server.APIKeys) }, value: "[{0123456789abcdef  admin key-1} { sha256:" + strings.Repeat("0a", 32) + " readonly app}]"},
		{name: "keys in the environment", environ: []string{`THEMIS_SERVER_API_KEYS=[{"key":"0123456789abcdef","role":"readwrite","name":"n"}]`},
			want: func(c *Config) any { return fmt.Sprint(c.Server.APIKeys) }, value: "[{0123456789abcdef  readwrite n}]"},
		{name: "keys without auth", set: []string{`server.api_keys=[{"key":"0123456789abcdef","role":"readwrite"}]`}, want: warnings, value: 1},
		{name: "open to all", set: []string{"server.host=0.0.0.0"}, want: warnings, value: 1},
		{name: "open to this machine", set: []string{"server.host=localhost"}, want: warnings, value: 0},
		{name: "keys in the clear", set: []string{"server.host=::", "server.enable_auth=true", `server.api_keys=[{"key":"0123456789abcdef","role":"readwrite"}]`},
			want: warnings, value: 1},
		{name: "certificates unused", set: []string{"server.tls_cert=x"}, want: warnings, value: 1},
		{name: "service links", environ: []string{"THEMIS_SERVICE_HOST=10.0.0.1", "THEMIS_SERVICE_PORT_HTTP=1", "THEMIS_PORT_8765_TCP_ADDR=x",
			"THEMIS_SERVER_SERVICE_PORT=1", "OTHER=1"}, want: warnings, value: 0},
		{name: "foreign variable", environ: []string{"THEMIS_LOG_LEVLE=info"}, want: warnings, value: 1},
		{name: "switched off", content: `{"server": {"enable_auth": false, "api_keys": [], "tls_cert": ""}, "features": {"cdc": false},
			"storage": {"snapshot_dirs": [], "wal_ttl_seconds": 0}, "vector_index": {"use_gpu": false, "quantization": "int8"}, "gpu": {"device": 0},
			"cdc_retention_hours": 168}`, environ: []string{"THEMIS_SERVER_API_KEYS="}, want: port, value: 8765},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := Source{Environ: test.environ, Set: test.set}
			if test.content != "" {
				source.File = "themis.conf"
			}
			c, err := load(source, []byte(test.content))
			if err != nil {
				t.Fatal(err)
			}
			if got := test.want(c); got != test.value {
				t.Errorf("got %v, want %v", got, test.value)
			}
		})
	}
}

func port(c *Config) any        { return c.Server.Port }
func threads(c *Config) any     { return c.Server.WorkerThreads }
func path(c *Config) any        { return c.Storage.RocksDBPath }
func level(c *Config) any       { return c.Logging.Level }
func statistics(c *Config) any  { return c.Storage.EnableStatistics }
func compression(c *Config) any { return c.Storage.Compression }
func warnings(c *Config) any    { return len(c.Warnings) }

func TestProblems(t *testing.T) {
	tests := []struct {
		content      string
		environ, set []string
		want         []string
	}{
		{content: `{"server": {"prot": 1}}`, want: []string{"server.prot is not a known key; the nearest is server.port"}},
		{content: `{"sever": {"port": 1}}`, want: []string{"sever.port is not a known key; the nearest is server.port"}},
		{content: `{"port": 1}`, want: []string{"port is not a known key; the nearest is server.port"}},
		{content: `{"storage": {"port": 1}}`, want: []string{"storage.port is not a known key; the nearest is server.port"}},
		{content: `{"cdc_retention": 1}`, want: []string{"the nearest is cdc_retention_hours"}},
		{content: `{"unknown": {}}`, want: []string{"unknown is not a known key"}},
		{content: `{"server": 1}`, want: []string{"server is a section; it must be an object"}},
		{content: `{"server": {"port": {"a": 1}}}`, want: []string{"server.port is an object; it must be a whole number from 0 to 65535"}},
		{content: `{"server": {"port": "8765"}}`, want: []string{`server.port is "8765"; it must be a whole number`}},
		{content: `{"server": {"port": 1.5}}`, want: []string{"server.port is 1.5; it must be a whole number"}},
		{content: `{"server": {"port": 65536}}`, want: []string{"server.port is 65536"}},
		{content: `{"server": {"port": 1e300}}`, want: []string{"server.port is 1e+300"}},
		{content: `{"server": {"port": null}}`, want: []string{"server.port has no value"}},
		{content: "server:\n  port:\n", want: []string{"server.port has no value"}},
		{content: "server:\n  port: 99999999999999999999\n", want: []string{"server.port is"}},
		{content: "server:\n  port: .inf\n", want: []string{"server.port is +Inf"}},
		{content: `{"storage": {"rocksdb_path": ""}}`, want: []string{"storage.rocksdb_path is empty"}},
		{content: `{"storage": {"enable_statistics": 1}}`, want: []string{"storage.enable_statistics is 1; it must be true or false"}},
		{content: `{"storage": {"compression": "lzma"}}`, want: []string{`storage.compression is "lzma"; it must be one of none, snappy`}},
		{content: `{"storage": {"compression": "lz4"}, "storage.compression.bottommost": "zstd"}`, want: []string{"storage.compression.bottommost is given twice"}},
		{content: `{"logging": {"level": "INFO"}}`, want: []string{`logging.level is "INFO"; it must be one of trace, debug, info, warn, error`}},
		{content: `{"server": {"port": 1}, "server": {"port": 2}}`, want: []string{"duplicate"}},
		{content: `[1]`, want: []string{"can't be parsed"}},
		{content: `{"server": `, want: []string{"can't be parsed"}},
		{content: "a: 1\n---\nb: 2\n", want: []string{"more than one document"}},
		{content: `{"storage": {"min_write_buffer_number_to_merge": 3}}`, want: []string{"must be below storage.max_write_buffer_number, which is 2"}},
		{content: `{"storage": {"level0_slowdown_writes_trigger": 3}}`, want: []string{"storage.level0_slowdown_writes_trigger is 3"}},
		{content: `{"storage": {"level0_stop_writes_trigger": 19}}`, want: []string{"storage.level0_stop_writes_trigger is 19"}},
		{content: `{"vector_index": {"hnsw_ef_construction": 8}}`, want: []string{"must not be below vector_index.hnsw_m"}},
		{content: `{"storage": {"max_open_files": 0}}`, want: []string{"storage.max_open_files is 0; it must be -1"}},
		{content: `{"server": {"host": "localhost:80"}}`, want: []string{"server.host is \"localhost:80\""}},
		// Security.
		{content: `{"server": {"enable_auth": true}}`, want: []string{"server.api_keys is empty, so that nobody could get in"}},
		{content: `{"server": {"api_keys": [{"key": "s3cret", "role": "root"}]}}`, want: []string{`an entry 1 whose role is wrong: "root" is no role`}},
		{content: `{"server": {"api_keys": [{"key": "s3cret"}]}}`, want: []string{`an entry 1 whose role is wrong: "" is no role`}},
		{content: `{"server": {"api_keys": ["s3cret"]}}`, want: []string{"an entry 1 that is not an object"}},
		{content: `{"server": {"api_keys": "s3cret"}}`, want: []string{"a list of objects with key or key_hash"}},
		{content: `{"server": {"api_keys": [{"s3cret": "admin"}]}}`, want: []string{"with an unknown member"}},
		{content: `{"server": {"api_keys": [{"key": 7, "role": "admin"}]}}`, want: []string{"whose key is not a string"}},
		{content: `{"server": {"api_keys": [{"role": "admin"}]}}`, want: []string{"exactly one of key and key_hash"}},
		{content: `{"server": {"api_keys": [{"key": "s3cret", "key_hash": "sha256:` + strings.Repeat("0", 64) + `", "role": "admin"}]}}`,
			want: []string{"exactly one of key and key_hash"}},
		{content: `{"server": {"api_keys": [{"key_hash": "sha256:s3cret", "role": "admin"}]}}`, want: []string{"and 64 hexadecimal digits"}},
		{content: `{"server": {"api_keys": [{"key": "s3cret1", "role": "admin", "name": "a"}, {"key": "s3cret2", "role": "admin", "name": "a"}]}}`,
			want: []string{`1 and 2, with the name "a"`}},
		{content: `{"server": {"api_keys": [{"key": "s3cret7890abcdef", "role": "admin", "name": "a"}, {"key": "s3cret7890abcdef", "role": "admin"}]}}`,
			want: []string{"the same key twice"}},
		{content: `{"server": {"api_keys": [{"key": "s3cret7890abcde", "role": "admin"}]}}`, want: []string{"server.api_keys: API key 0 is refused: a key must be 16 to 512"}},
		{content: `{"server": {"enable_tls": true, "tls_cert": "a"}}`, want: []string{"server.tls_cert or server.tls_key is empty"}},
		{content: `{"server": {"tls_ca": "a"}}`, want: []string{"server.tls_ca asks clients for certificates"}},
		{content: `{"server": {"trusted_proxies": ["10.0.0.0/8", "::1", "proxy"]}}`, want: []string{`server.trusted_proxies holds "proxy"`}},
		{content: `{"server": {"allowed_hosts": ["db.example", "db.example:80"]}}`, want: []string{`server.allowed_hosts holds "db.example:80"`}},
		{content: `{"server": {"trusted_proxies": [1]}}`, want: []string{"server.trusted_proxies is a list of 1; it must be a list of strings"}},
		{content: `{"server": {"pprof_port": 8765}}`, want: []string{"it needs a port of its own"}},
		{content: `{"storage": {"enable_wal_archival": true}}`, want: []string{"storage.wal_archive_path is empty"}},
		{content: `{"vector_index": {"use_gpu": true, "quantization": "pq"}}`, want: []string{`vector_index.quantization is "pq"`}},
		{content: `{"gpu": {"device": -1, "codes": "fp8", "max_batch": 0, "latency_cap_ms": 0, "memory_limit_mb": -1, "worker_path": 7}}`, want: []string{
			`gpu.codes is "fp8"; it must be one of int8, bf16`, "gpu.device is -1; it must be a whole number from 0 to 255",
			"gpu.latency_cap_ms is 0", "gpu.max_batch is 0", "gpu.memory_limit_mb is -1", "gpu.worker_path is 7; it must be a string"}},
		// Not built yet: refused, never ignored.
		{content: `{"features": {"semantic_cache": true, "llm_store": true, "cdc": true, "timeseries": true}}`,
			want: []string{"the LLM store", "the semantic cache", "time series"}},
		{content: `{"cdc_retention_hours": 8761}`, want: []string{"a whole number from 1 to 8760"}},
		// Overrides.
		{environ: []string{"THEMIS_PORT=http"}, want: []string{`server.port is "http"; it must be a whole number from 0 to 65535 (set by THEMIS_PORT)`}},
		{environ: []string{"THEMIS_PORT="}, want: []string{`server.port is ""`}},
		{environ: []string{"THEMIS_PORT=1", "THEMIS_SERVER_PORT=2"}, want: []string{"THEMIS_SERVER_PORT and THEMIS_PORT both set server.port"}},
		{environ: []string{"THEMIS_PORT=tcp://10.0.0.1:8765"}, want: []string{"Kubernetes service link"}},
		{environ: []string{"THEMIS_STORAGE_ENABLE_STATISTICS=maybe"}, want: []string{"(set by THEMIS_STORAGE_ENABLE_STATISTICS)"}},
		{environ: []string{"THEMIS_SERVER_PROT=1"}, want: []string{"THEMIS_SERVER_PROT is not a known variable; the nearest is THEMIS_SERVER_PORT"}},
		{environ: []string{"THEMIS_FEATURES_TIMESERIES=true"}, want: []string{"features.timeseries is true"}},
		{environ: []string{"THEMIS_SERVER_API_KEYS=s3cret, s3cret2"}, want: []string{"server.api_keys can't be read; it must be a JSON list"}},
		{environ: []string{"THEMIS_CDC_RETENTION_HOURS=0"}, want: []string{"cdc_retention_hours is 0"}},
		{set: []string{"server.port"}, want: []string{"write it as key=value"}},
		{set: []string{"server.prot=1"}, want: []string{"the nearest is server.port"}},
		{set: []string{"server.port=x"}, want: []string{"(set by --set)"}},
		// All at once.
		{content: `{"a": 1, "server": {"port": -1}}`, environ: []string{"THEMIS_LOG_LEVEL=loud"}, want: []string{"a is not", "server.port is -1", "logging.level"}},
	}
	for _, test := range tests {
		source := Source{Environ: test.environ, Set: test.set}
		if test.content != "" {
			source.File = "themis.conf"
		}
		_, err := load(source, []byte(test.content))
		problems, _ := err.(Problems)
		if len(problems) != len(test.want) {
			t.Errorf("%+v: %d problems, want %d: %q", test, len(problems), len(test.want), problems)
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(problems[i], want) {
				t.Errorf("problem %q lacks %q", problems[i], want)
			}
			if strings.Contains(problems[i], "s3cret") {
				t.Errorf("problem %q tells a secret", problems[i])
			}
		}
	}
}

func TestLoadReadsTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "themis.yaml")
	if err := os.WriteFile(name, []byte("{server: {port: 12}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Source{File: name})
	if err != nil || c.Server.Port != 12 {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err = Load(Source{File: name + ".none"}); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("an absent file: %v", err)
	}
}

func TestNearestIsAlwaysAKey(t *testing.T) {
	for _, name := range []string{"", ".", "x", strings.Repeat("long.", 50)} {
		if got := nearest(name, paths()); !slices.Contains(paths(), got) {
			t.Errorf("nearest(%q) = %q", name, got)
		}
	}
}

// FuzzLoad holds that no file and no environment makes the loader panic, that
// it is deterministic, and that what it accepts is within the keys' ranges.
func FuzzLoad(f *testing.F) {
	f.Add("a.json", `{"server": {"port": 1}}`, "THEMIS_PORT=2", "server.port=3")
	f.Add("a.yaml", "storage: {compression: {default: lz4}}", "THEMIS_STORAGE_PATH=x", "")
	f.Add("a.conf", "// c\n{\"query\": {\"batch_size\": 1e3,},}", "", "logging.level=trace")
	f.Add("a.conf", "a: &a [*a]\n", "THEMIS_=", "=")
	f.Add("a.yaml", "? [1]\n: 2\n", "THEMIS_SERVER_PORT_1_TCP", "server=")
	f.Fuzz(func(t *testing.T, name, content, variable, flag string) {
		source := Source{File: name + "x", Environ: []string{variable}, Set: []string{flag}}
		c, err := load(source, []byte(content))
		again, err2 := load(source, []byte(content))
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(err, err2) {
			t.Fatalf("two answers: %+v %v, %+v %v", c, err, again, err2)
		}
		if err != nil {
			if problems, ok := err.(Problems); !ok || len(problems) == 0 {
				t.Fatalf("not a list of problems: %v", err)
			}
			return
		}
		if c.Server.Port < 0 || c.Server.Port > 65535 || c.Storage.RocksDBPath == "" || !slices.Contains(compressions, c.Storage.Compression.Default) {
			t.Fatalf("accepted %+v", c)
		}
	})
}
