package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// linesPerRequest is how many entities one NDJSON request of a load carries.
// The API would take all in one; parts keep the progress honest, since a part
// counts only when the server has acknowledged it.
const linesPerRequest = 2000

// load sends n operations as NDJSON. line appends the i-th one to dst, without
// a newline; acknowledged hears how many are durable.
func (c *client) load(ctx context.Context, n int, line func(dst []byte, i int) []byte, acknowledged func(done int) error) error {
	for from := 0; from < n; from += linesPerRequest {
		to := min(n, from+linesPerRequest)
		if err := c.loadPart(ctx, from, to, line); err != nil {
			return err
		}
		if err := acknowledged(to); err != nil {
			return err
		}
	}
	return nil
}

// putBatch sends the operations from..to-1 as one JSON request.
func (c *client) putBatch(ctx context.Context, from, to int, operation func(dst []byte, i int) []byte) error {
	return c.sendBatch(ctx, batchBody(from, to, operation), to-from)
}

// batchBody is the request with the operations from..to-1.
func batchBody(from, to int, operation func(dst []byte, i int) []byte) []byte {
	body := []byte(`{"operations":[`)
	for i := from; i < to; i++ {
		if i > from {
			body = append(body, ',')
		}
		body = operation(body, i)
	}
	return append(body, `]}`...)
}

// sendBatch sends a request of batchBody with so many operations.
func (c *client) sendBatch(ctx context.Context, body []byte, operations int) error {
	resp, err := c.send(ctx, "POST", "/entities/batch", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Succeeded int `json:"succeeded"`
		Results   []struct {
			Key   string `json:"key"`
			Error *struct {
				Code   string `json:"code"`
				Detail string `json:"detail"`
			} `json:"error"`
		} `json:"results"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("POST /entities/batch: the answer isn't as expected: %w", err)
	}
	for _, r := range answer.Results {
		if r.Error != nil {
			return fmt.Errorf("%s was refused: %s: %s", r.Key, r.Error.Code, r.Error.Detail)
		}
	}
	if answer.Succeeded != operations {
		return fmt.Errorf("the server accepted %d of %d entities", answer.Succeeded, operations)
	}
	return nil
}

// importSummary is the answer to an NDJSON batch.
type importSummary struct {
	Accepted int `json:"accepted"`
	Failed   int `json:"failed"`
	Errors   []struct {
		Key    string `json:"key"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

// loadPart streams the operations from..to-1 in one request.
func (c *client) loadPart(ctx context.Context, from, to int, line func(dst []byte, i int) []byte) error {
	body, lines := io.Pipe()
	var writer errgroup.Group
	writer.Go(func() error {
		// A request that ended early closes the pipe; its own error says why.
		return lines.CloseWithError(writeLines(lines, from, to, line))
	})
	resp, err := c.send(ctx, "POST", "/entities/batch", "application/x-ndjson", body)
	body.Close()
	if err = errors.Join(err, writer.Wait()); err != nil {
		return err
	}
	defer resp.Body.Close()
	var summary importSummary
	if err := json.NewDecoder(resp.Body).Decode(&summary); err != nil {
		return fmt.Errorf("POST /entities/batch: the answer isn't as expected: %w", err)
	}
	if len(summary.Errors) > 0 {
		first := summary.Errors[0]
		return fmt.Errorf("%d entities were refused, the first one, %s: %s: %s", summary.Failed, first.Key, first.Code, first.Detail)
	}
	if summary.Accepted != to-from {
		return fmt.Errorf("the server accepted %d of %d entities", summary.Accepted, to-from)
	}
	return nil
}

func writeLines(w io.Writer, from, to int, line func(dst []byte, i int) []byte) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	var text []byte
	for i := from; i < to; i++ {
		text = append(line(text[:0], i), '\n')
		if _, err := buffered.Write(text); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// appendVector appends v as a JSON array.
func appendVector(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}

// createIndex creates an index and waits until it is built; it is content if
// there is one already.
func (c *client) createIndex(ctx context.Context, spec indexSpec) error {
	_, err := call[acknowledged](ctx, c, "POST", "/index/create", spec)
	return unless(err, "index_exists")
}

// unless is err, but nil if it is the API's error with that code.
func unless(err error, code string) error {
	var e *apiError
	if errors.As(err, &e) && e.Code == code {
		return nil
	}
	return err
}

// vectorStats is the part of GET /vector/index/stats that this command uses.
type vectorStats struct {
	// Pending vectors aren't linked into the graph yet.
	Pending int `json:"pending"`
	// Bytes of the index's parts.
	Bytes map[string]int64 `json:"bytes"`
}

func (s *vectorStats) bytes() int64 {
	var sum int64
	for _, n := range s.Bytes {
		sum += n
	}
	return sum
}

// vectorStats returns the figures of a table's only vector index.
func (c *client) vectorStats(ctx context.Context, table string) (*vectorStats, error) {
	type answer struct {
		Indexes []vectorStats `json:"indexes"`
	}
	a, err := call[answer](ctx, c, "GET", "/vector/index/stats?table="+table, nil)
	if err != nil {
		return nil, err
	}
	if len(a.Indexes) != 1 {
		return nil, fmt.Errorf("the table %s has %d vector indexes", table, len(a.Indexes))
	}
	return &a.Indexes[0], nil
}

// waitLinked waits until no vector of a table waits to be linked into its graph.
func (c *client) waitLinked(ctx context.Context, table string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		stats, err := c.vectorStats(ctx, table)
		if err != nil || stats.Pending == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
