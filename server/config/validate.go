package config

import (
	"fmt"
	"net"
	"regexp"
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
	return p
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)
