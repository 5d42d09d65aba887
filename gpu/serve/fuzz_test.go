package serve_test

import (
	"net"
	"testing"
	"time"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/serve"
	"github.com/vccdb/vccdb/gpu/wire"
)

// FuzzRun: whatever a server sends, and whatever lies in the shared memory, the worker
// ends by itself or with the connection, and doesn't panic (nor does the fake device,
// which panics where serve breaks a promise).
func FuzzRun(f *testing.F) {
	frames := func(parts ...[]byte) (all []byte) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	create := wire.Append(nil, wire.TypeCreate, 1, 0, wire.Create{Spec: wire.IndexSpec{Dim: 2}})
	put := wire.Append(nil, wire.TypePut, 2, 0, wire.Rows{Index: 1, Count: 3, Vectors: 64})
	query := wire.Append(nil, wire.TypeQuery, 3, 0, wire.Query{Index: 1, K: 5, Vector: []float32{1, 2}, Filtered: true, AllowWords: 9})
	ids := []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}
	f.Add(frames(create, put, query), ids)
	f.Add(frames(create, put, wire.Append(nil, wire.TypeDelete, 4, 5, wire.Rows{Index: 1, Count: 2}), wire.Append(nil, wire.TypeStats, 5, 0, nil)), ids)
	f.Add(frames(create, query, wire.Append(nil, wire.TypeCancel, 3, 0, nil), wire.Append(nil, wire.TypeDrop, 6, 0, wire.IndexRef{Index: 1})), ids)
	f.Add(frames(query, wire.Append(nil, wire.TypePing, 7, 0, nil), query), ids)
	f.Fuzz(func(t *testing.T, stream, memory []byte) {
		ours, theirs := net.Pipe()
		mem := wire.NewLocalArena(0).Memory()
		copy(mem, memory)
		ended := make(chan error, 1)
		go func() {
			ended <- serve.Run(serve.Options{
				Conn: theirs, Arena: mem, MaxWaiting: 10,
				Open: func() (serve.Device, error) { return gputest.NewDevice(), nil },
			})
		}()
		read := make(chan struct{})
		go func() {
			defer close(read)
			for r := wire.NewReader(ours); ; {
				if _, err := r.Next(); err != nil {
					return
				}
			}
		}()
		ours.SetWriteDeadline(time.Now().Add(10 * time.Second)) // the worker may have ended
		ours.Write(wire.Append(nil, wire.TypeHello, 0, 0, wire.Hello{Version: wire.Version, ArenaBytes: uint64(len(mem))}))
		ours.Write(stream)
		ours.Close()
		select {
		case err := <-ended:
			if status := serve.ExitStatus(err); status != 0 && status != 5 {
				t.Errorf("status %d: %v", status, err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the worker doesn't end")
		}
		<-read
	})
}
