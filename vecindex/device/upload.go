package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vccdb/vccdb/gpu/wire"
)

const (
	// sendPatience is how long the worker may take for one upload.
	sendPatience = 30 * time.Second
	// lingerBelow is the number of changes that don't wait for others any more.
	lingerBelow = 512
	// refillAfter is how many uploads in a row fail before the copy is made anew.
	refillAfter = 5
	// goodbye is how long the worker is waited for when a copy is no longer needed.
	goodbye = time.Second
	// bytesEvery is how often the worker is asked what the copy takes.
	bytesEvery = 5 * time.Second
	// reasonEvery is how often it is asked why there is no worker.
	reasonEvery = time.Second
)

// errRefill ends the use of a copy that can't be made good.
var errRefill = errors.New("the copy on the device is made anew")

// run keeps a copy in each session there is, until ctx ends.
func (x *Index) run(ctx context.Context) {
	pause := x.o.Retry
	for ctx.Err() == nil {
		changed := x.o.Worker.Changed()
		session := x.o.Worker.Session()
		if session == nil {
			x.stand(Waiting, x.o.Worker.Reason())
			wait(ctx, changed, reasonEvery) // the reason changes, too
			continue
		}
		err := x.serve(ctx, session)
		var liar *liarError
		switch code := codeOf(err); {
		case ctx.Err() != nil:
			return
		case errors.As(err, &liar):
			x.stand(Distrusted, "the device isn't used for this index before a restart of the server: "+liar.text)
			x.log.Error("the GPU gave wrong answers and isn't used for this index any more", "reason", liar.text)
			return
		case isOver(session):
			x.stand(Waiting, x.o.Worker.Reason())
			wait(ctx, changed, reasonEvery)
			pause = x.o.Retry
		case code == wire.OutOfMemory:
			x.awaitRoom(ctx, session, err)
		case code == wire.Unsupported:
			x.stand(Off, "the device can't have this index: "+err.Error())
			x.log.Warn("an index can't be copied to the GPU; the CPU answers its searches", "reason", err)
			wait(ctx, session.Done(), 0)
		default:
			x.log.Warn("an index could not be copied to the GPU; it is tried again", "error", err)
			x.stand(Uploading, "the device reported an error, the copy is made anew: "+err.Error())
			wait(ctx, session.Done(), pause)
			pause = min(2*pause, maxPauses*x.o.Retry)
		}
	}
}

// codeOf is the worker's word for an error.
func codeOf(err error) wire.Code {
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return wire.Failed
}

// awaitRoom returns when an index that the device had no memory for may fit: when some of
// it was freed, as by an index that was dropped, or the index has shrunk.
func (x *Index) awaitRoom(ctx context.Context, session Session, err error) {
	reason := x.tooLarge(session.Device(), err)
	x.stand(TooLarge, reason)
	x.log.Warn("an index doesn't fit the GPU's memory; the CPU answers its searches", "reason", reason)
	was := x.Len()
	wait(ctx, session.Done(), x.o.RoomEvery) // what the copy took is given back by then
	for used := session.Device().MemoryUsed; ctx.Err() == nil && !isOver(session); wait(ctx, session.Done(), x.o.RoomEvery) {
		d := session.Device()
		if x.Len() < was-was/10 || d.MemoryUsed < used-memoryOf(d)/roomShare {
			return
		}
		used = max(used, d.MemoryUsed)
	}
}

// roomShare is the part of the device's memory that has to be freed before an index that
// didn't fit is tried again.
const roomShare = 20

// memoryOf is how much of a device may be used.
func memoryOf(d wire.DeviceInfo) int64 {
	if d.MemoryLimit > 0 {
		return min(d.MemoryTotal, d.MemoryLimit)
	}
	return d.MemoryTotal
}

// tooLarge explains a lack of memory.
func (x *Index) tooLarge(d wire.DeviceInfo, err error) string {
	const mib = 1 << 20
	return fmt.Sprintf("data larger than the device's memory stays on the CPU: %d vectors of %d dimensions are %d MiB, besides their codes; the device has %d MiB to give, %d of them in use (%v)",
		x.Len(), x.o.Dimension, int64(x.Len())*int64(x.o.Dimension)*4/mib, memoryOf(d)/mib, d.MemoryUsed/mib, err)
}

// wait returns when done is closed, when ctx ends, or after a time unless that is 0.
func wait(ctx context.Context, done <-chan struct{}, most time.Duration) {
	var timeout <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-done:
	case <-timeout:
	case <-ctx.Done():
	}
}

func isOver(s Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// serve fills a copy in a session and keeps it up to date until it returns the reason why
// it can't.
func (x *Index) serve(ctx context.Context, session Session) error {
	x.stand(Uploading, "the vectors are being sent to the device")
	if have := memoryOf(session.Device()); have > 0 && int64(x.Len())*int64(x.o.Dimension)*4 > have {
		return wire.Errorf(wire.OutOfMemory, "nothing was sent")
	}
	index, err := x.create(ctx, session)
	if err != nil {
		return err
	}
	m := &mirror{session: session, index: index}
	x.overlay.begin()
	x.mirror.Store(m)
	defer x.drop(m)
	ids := slices.Collect(x.IDs()) // what comes from now on is marked
	x.overlay.mark(ids...)
	u := uploader{x: x, m: m, checkAt: x.o.Now()}
	return u.keep(ctx)
}

func (x *Index) create(ctx context.Context, session Session) (uint32, error) {
	patience, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	return session.CreateIndex(patience, wire.IndexSpec{Dim: x.o.Dimension, Metric: wire.Metric(x.o.Metric), Codes: x.codes, Seed: x.o.Seed})
}

// batch is how many vectors are sent at a time.
func (x *Index) batch() int { return min(max(1, x.o.BatchBytes/(4*x.o.Dimension)), 1<<14) }

// drop forgets a copy.
func (x *Index) drop(m *mirror) {
	x.stand(Waiting, "the copy on the device is gone")
	x.mirror.Store(nil)
	x.overlay.end()
	if isOver(m.session) {
		return
	}
	patience, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if err := m.session.DropIndex(patience, m.index); err != nil {
		x.log.Debug("a copy on the GPU could not be dropped; it ends with the worker", "error", err)
	}
}

// uploader sends what is in the overlay.
type uploader struct {
	x       *Index
	m       *mirror
	vectors []float32
	// failed is how many uploads in a row did.
	failed int
	// checkAt is when the device is to be checked, unanswered how many checks in a row
	// came to nothing; asked is when the worker was asked what the copy takes.
	checkAt, asked time.Time
	unanswered     int
	// checked is how many vectors there were at the last check.
	checked int
}

// growth is how many times as many vectors there are before the device is checked once
// more, from growthFrom on: an index may have been empty.
const growth, growthFrom = 2, 100

// keep sends until it can't, and checks the device when it first has all and from time to
// time.
func (u *uploader) keep(ctx context.Context) error {
	for {
		if u.checkDue() {
			if err := u.check(ctx); err != nil {
				return err
			}
		}
		if err := u.sendAll(ctx); err != nil {
			return err
		}
		u.askBytes(ctx)
		if err := u.await(ctx); err != nil {
			return err
		}
	}
}

// checkDue says whether it is time for a check, which takes that the device has nearly all
// vectors.
func (u *uploader) checkDue() bool {
	if int(u.x.overlay.size.Load()) > u.x.o.MaxOverlay {
		return false
	}
	return !u.x.o.Now().Before(u.checkAt) || u.unanswered == 0 && u.hasGrown()
}

func (u *uploader) hasGrown() bool {
	live := u.x.Len()
	return live >= max(growthFrom, growth*u.checked) || live >= probeFrom && u.checked < probeFrom
}

// check looks whether the device can be trusted, and lets searches use it.
func (u *uploader) check(ctx context.Context) error {
	x := u.x
	live, grown := x.Len(), u.hasGrown()
	err := u.canary(ctx, grown)
	switch {
	case errors.Is(err, errUnanswered):
		u.checkAt = x.o.Now().Add(min(x.o.Retry<<min(u.unanswered, 16), maxPauses*x.o.Retry))
		if u.unanswered++; !u.m.ready.Load() {
			x.stand(Uploading, err.Error())
		}
		return nil
	case err != nil:
		return err
	}
	u.checkAt, u.unanswered = x.o.Now().Add(x.o.CanaryEvery), 0
	if grown {
		u.checked = live
	}
	if u.m.ready.CompareAndSwap(false, true) {
		x.counts.fills.Add(1)
		x.stand(Ready, "")
		x.log.Info("an index was copied to the GPU, which answers its searches from now on", "vectors", x.Len())
	}
	return nil
}

// await waits for something to do.
func (u *uploader) await(ctx context.Context) error {
	x := u.x
	next := max(time.Millisecond, min(bytesEvery, u.checkAt.Sub(x.o.Now())))
	timer := time.NewTimer(next)
	defer timer.Stop()
	select {
	case <-x.overlay.wake:
	case <-timer.C:
		return nil
	case text := <-x.doubts:
		return &liarError{text: text}
	case <-u.m.session.Done():
		return u.m.session.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	if x.overlay.queued() < lingerBelow {
		wait(ctx, u.m.session.Done(), x.o.Linger)
	}
	return nil
}

// sendAll sends until nothing is queued, or a check is due.
func (u *uploader) sendAll(ctx context.Context) error {
	x := u.x
	for x.overlay.queued() > 0 {
		if u.checkDue() {
			return nil
		}
		err := u.send(ctx, x.overlay.take(x.batch()))
		if err == nil {
			x.overlay.landed()
			u.failed = 0
			continue
		}
		x.overlay.returned()
		if err := u.mayRetry(ctx, err); err != nil {
			return err
		}
	}
	u.vectors = nil
	return nil
}

// mayRetry waits a little after an error, unless that won't do.
func (u *uploader) mayRetry(ctx context.Context, err error) error {
	u.x.counts.errored.Add(1)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isOver(u.m.session):
		return u.m.session.Err()
	}
	switch codeOf(err) {
	case wire.OutOfMemory, wire.Lost, wire.NoIndex, wire.Invalid, wire.Unsupported:
		return err
	}
	if u.failed++; u.failed >= refillAfter {
		return fmt.Errorf("%w: %w", errRefill, err)
	}
	wait(ctx, u.m.session.Done(), u.x.o.Retry<<u.failed)
	return ctx.Err()
}

// send brings ids on the device to what they are in the CPU index.
func (u *uploader) send(ctx context.Context, flight []uint32) error {
	x := u.x
	ids := slices.Clone(flight)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var gone []uint32
	put := ids[:0]
	vectors := u.vectors[:0]
	longest := math.Float64frombits(u.m.longest.Load())
	for _, id := range ids {
		if cap(vectors)-len(vectors) < x.o.Dimension {
			vectors = slices.Grow(vectors, len(ids)*x.o.Dimension-len(vectors))
		}
		row := vectors[len(vectors) : len(vectors)+x.o.Dimension]
		if !x.Vector(row, id) {
			gone = append(gone, id)
			continue
		}
		vectors = vectors[:len(vectors)+x.o.Dimension]
		put = append(put, id)
		longest = max(longest, length(row))
	}
	u.vectors = vectors
	u.m.longest.Store(math.Float64bits(longest)) // before anybody can find them
	patience, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	if len(gone) > 0 {
		if err := u.m.session.Delete(patience, u.m.index, gone); err != nil {
			return err
		}
	}
	if len(put) == 0 {
		return nil
	}
	return u.m.session.Put(patience, u.m.index, put, vectors)
}

// askBytes notes now and then what the copy takes.
func (u *uploader) askBytes(ctx context.Context) {
	x := u.x
	if now := x.o.Now(); now.Sub(u.asked) < bytesEvery {
		return
	}
	u.asked = x.o.Now()
	patience, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	state, err := u.m.session.Stats(patience)
	if err != nil {
		return // a session that ended is noticed elsewhere
	}
	for _, s := range state.Indexes {
		if s.Index == u.m.index {
			x.mu.Lock()
			x.mu.bytes = s.Bytes
			x.mu.Unlock()
		}
	}
}
