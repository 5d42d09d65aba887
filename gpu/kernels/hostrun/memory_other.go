//go:build !linux

package hostrun

import "os"

// memoryFile is a file for memory that is shared.
func memoryFile() (*os.File, error) {
	file, err := os.CreateTemp("", "hostrun-")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
