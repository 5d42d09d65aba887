package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRegistry(t *testing.T) *Registry {
	t.Helper()
	r := NewRegistry(slog.New(slog.DiscardHandler))
	t.Cleanup(r.Close)
	return r
}

func TestWatchSeesProgressAndEnd(t *testing.T) {
	r := newRegistry(t)
	step := make(chan struct{})
	job, err := r.Start("index_build", "t.c", func(_ context.Context, p Progress) error {
		p.Unit("entities")
		p.Set(1, 2)
		<-step
		p.Set(2, 2)
		p.Result([]byte(`{"found":2}`))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var last Status
	sawHalf := false
	job.Watch(t.Context(), func(s Status) bool {
		if s.Done == 1 && !sawHalf {
			sawHalf = true
			close(step)
		}
		last = s
		return true
	})
	if !sawHalf || last.State != Done || last.Done != 2 || last.Finished == nil || last.Unit != "entities" || string(last.Result) != `{"found":2}` {
		t.Fatalf("half seen %v, last %+v", sawHalf, last)
	}
}

func TestCancelEndsTheWork(t *testing.T) {
	r := newRegistry(t)
	job, err := r.Start("index_build", "t.c", func(ctx context.Context, _ Progress) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	job.Cancel()
	if err := job.Wait(t.Context()); errs.CodeOf(err) != "job_canceled" {
		t.Fatalf("got %v", err)
	}
	if s := job.Status(); s.State != Canceled {
		t.Fatalf("state %s", s.State)
	}
}

func TestFailureKeepsItsCode(t *testing.T) {
	r := newRegistry(t)
	job, _ := r.Start("k", "s", func(context.Context, Progress) error {
		return errs.Wrap(io.ErrUnexpectedEOF, errs.Conflict, "duplicate_value", "two entities share a value")
	})
	err := job.Wait(t.Context())
	if s := job.Status(); errs.CodeOf(err) != "duplicate_value" || s.ErrorCode != "duplicate_value" || s.Error != "two entities share a value" {
		t.Fatalf("err %v status %+v", err, job.Status())
	}
}

func TestOldOutcomesAreForgottenRunningOnesAreNot(t *testing.T) {
	r := newRegistry(t)
	running, _ := r.Start("k", "running", func(ctx context.Context, _ Progress) error { <-ctx.Done(); return ctx.Err() })
	for i := range 2 * keepFinished {
		j, _ := r.Start("k", fmt.Sprint(i), func(context.Context, Progress) error { return nil })
		if err := j.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.List()); n > keepFinished+1 {
		t.Fatalf("%d jobs kept", n)
	}
	if _, ok := r.Get(running.Status().ID); !ok {
		t.Fatal("a running job was forgotten")
	}
}

func TestCloseStopsEverythingAndRefusesMore(t *testing.T) {
	r := NewRegistry(slog.New(slog.DiscardHandler))
	job, _ := r.Start("k", "s", func(ctx context.Context, _ Progress) error { <-ctx.Done(); return ctx.Err() })
	r.Close()
	if err := job.Wait(context.Background()); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := r.Start("k", "s", nil); errs.KindOf(err) != errs.Unavailable {
		t.Fatalf("got %v", err)
	}
}
