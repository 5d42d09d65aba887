package config

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
)

// ThisMachine describes where the process runs, control group included.
func ThisMachine() Machine {
	program, err := os.Executable()
	if err != nil {
		program = ""
	}
	return Machine{CPUs: runtime.GOMAXPROCS(0), MemoryBytes: memoryBytes("/proc/meminfo", "/sys/fs/cgroup/memory.max"), Program: program}
}

// memoryBytes is the smaller of the machine's memory and the control group's
// limit (cgroup v2, as seen from inside a container); 0 where neither is known.
func memoryBytes(meminfo, limit string) uint64 {
	total := readMemTotal(meminfo)
	content, err := os.ReadFile(limit)
	if err != nil {
		return total
	}
	allowed, err := strconv.ParseUint(string(bytes.TrimSpace(content)), 10, 64)
	if err != nil { // "max": no limit
		return total
	}
	if total == 0 {
		return allowed
	}
	return min(total, allowed)
}

// readMemTotal reads the first line of /proc/meminfo: "MemTotal:  16384 kB".
func readMemTotal(path string) uint64 {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	fields := bytes.Fields(content)
	if len(fields) < 2 || string(fields[0]) != "MemTotal:" {
		return 0
	}
	kb, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
