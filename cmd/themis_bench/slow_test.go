package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// TestCrowd holds what slow connections send, and that they are gone afterwards.
func TestCrowd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const n = 30
	var mu sync.Mutex
	lines := map[string]int{}
	var ended sync.WaitGroup
	ended.Go(func() {
		for range n {
			c, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			ended.Go(func() {
				defer c.Close()
				reader := bufio.NewReader(c)
				line, err := reader.ReadString('\n')
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				lines[strings.Fields(line)[0]+strings.Fields(line)[1]]++
				mu.Unlock()
				io.Copy(io.Discard, reader)
			})
		}
	})
	f := slowFlags{slow: n}
	all, err := f.gather(t.Context(), newClient("http://"+ln.Addr().String(), "key", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := all.disperse(); err != nil {
		t.Error(err)
	}
	ended.Wait()
	if lines["GET/tables"] != n/3 || lines["POST/query"] != n/3 || len(lines) != 3 {
		t.Errorf("the server saw %v", lines)
	}
	ln.Close()
	if _, err := f.gather(t.Context(), newClient("http://"+ln.Addr().String(), "", 1)); err == nil {
		t.Error("nobody listens, and the crowd is there")
	}
}
