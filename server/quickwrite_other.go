//go:build !linux || race

package server

import "net"

func quick(accepted net.Conn) net.Conn { return accepted }
