package page

import (
	"bufio"
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/request"
)

// heartbeat is how often something is sent, so that a client that left is
// noticed and no proxy closes the connection.
const heartbeat = 15 * time.Second

// Stream sends server-sent events. It is safe for concurrent use.
type Stream struct {
	view *view.View
	mu   sync.Mutex
	w    *bufio.Writer
}

// Stream answers with server-sent events. Run sends them until its context ends:
// when the client is gone, the server drains, its session ends, its key is revoked, or
// the stream's time is up, after which the browser connects anew with the id of the last event.
// The request's own deadline doesn't count. An error of run is sent as the event
// "problem".
func (f *Frame) Stream(c fiber.Ctx, run func(ctx context.Context, s *Stream) error) error {
	if f.streams.Add(1) > int64(f.o.MaxStreams) {
		f.streams.Add(-1)
		return errs.New(errs.Unavailable, "overloaded", "The console has %d streams open already; close a page that shows something live.", f.o.MaxStreams)
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderCacheControl, "no-store, no-transform") // compressed, events would be held back
	c.Set("X-Accel-Buffering", "no")
	v, closing, signedOut := f.view(c), request.Closing(c), request.SessionEnded(c)
	return request.Stream(c, func(w *bufio.Writer) {
		defer f.streams.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), f.o.StreamLife)
		s := &Stream{view: v, w: w}
		beating := make(chan struct{})
		go func() {
			defer close(beating)
			s.beat(ctx, cancel, closing, signedOut)
		}()
		defer func() { // it uses the writer, which is somebody else's afterwards
			cancel()
			<-beating
		}()
		err := s.write("retry: 2000\n\n")
		if err == nil {
			err = run(view.With(ctx, v), s)
		}
		if err != nil && ctx.Err() == nil {
			_ = s.Text("problem", "", problem.Of(err).Detail) // the stream ends anyway
		}
	})
}

// beat sends heartbeats and ends the stream when the client is gone, the server
// drains or who reads it may not any more.
func (s *Stream) beat(ctx context.Context, cancel context.CancelFunc, closing, signedOut <-chan struct{}) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-closing:
			cancel()
			return
		case <-signedOut:
			cancel()
			return
		case <-ticker.C:
			if s.write(": still here\n\n") != nil {
				cancel()
				return
			}
		}
	}
}

// Send sends a component as an event. The id, which may be empty, is what the
// browser sends as Last-Event-ID when it connects anew.
func (s *Stream) Send(event, id string, content templ.Component) error {
	var body bytes.Buffer
	if err := content.Render(view.With(context.Background(), s.view), &body); err != nil {
		return err
	}
	return s.Text(event, id, body.String())
}

// Text sends text as an event. For a browser it is text, unless a page asks htmx
// to swap the event in: then it must come from Send.
func (s *Stream) Text(event, id, data string) error {
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + oneLine.Replace(id) + "\n")
	}
	b.WriteString("event: " + event + "\n")
	for line := range strings.SplitSeq(lineEnds.Replace(data), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	return s.write(b.String())
}

// An event stream ends its lines with any of these.
var (
	lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")
	oneLine  = strings.NewReplacer("\r", "", "\n", "", "\x00", "")
)

func (s *Stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.WriteString(text); err != nil {
		return err
	}
	return s.w.Flush()
}
