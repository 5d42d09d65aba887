//go:build !linux

package supervisor

import "errors"

func startProcess(Options) (Worker, error) { return nil, errors.New("a GPU worker needs Linux") }
