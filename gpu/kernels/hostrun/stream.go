package hostrun

import "github.com/vccdb/vccdb/gpu/scan"

// stream is a queue of what Sync does.
type stream struct {
	launcher *Launcher
	work     []func() error // called with the launcher's lock held
}

func (s *stream) CopyIn(dst scan.Ptr, src []byte) {
	s.work = append(s.work, func() error {
		to, err := s.launcher.copyable(dst, int64(len(src)))
		copy(to, src)
		return err
	})
}

func (s *stream) CopyOut(dst []byte, src scan.Ptr) {
	s.work = append(s.work, func() error {
		from, err := s.launcher.copyable(src, int64(len(dst)))
		copy(dst, from)
		return err
	})
}

func (s *stream) Copy(dst, src scan.Ptr, bytes int64) {
	s.work = append(s.work, func() error {
		from, err := s.launcher.copyable(src, bytes)
		if err != nil {
			return err
		}
		to, err := s.launcher.copyable(dst, bytes)
		copy(to, from)
		return err
	})
}

func (s *stream) Fill(p scan.Ptr, value byte, bytes int64) {
	s.work = append(s.work, func() error {
		to, err := s.launcher.copyable(p, bytes)
		for i := range to {
			to[i] = value
		}
		return err
	})
}

func (s *stream) Launch(kernel string, grid, block [3]int, shared int, args []byte) {
	args = append([]byte(nil), args...) // as a driver does
	s.work = append(s.work, func() error { return s.launcher.launch(kernel, grid, block, shared, args) })
}

func (s *stream) Sync() error {
	s.launcher.mu.Lock()
	defer s.launcher.mu.Unlock()
	work := s.work
	s.work = nil
	for _, do := range work {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) Close() error { return s.Sync() }
