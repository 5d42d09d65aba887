package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// client speaks the REST API. It is safe for concurrent use.
type client struct {
	base string
	key  string
	http *http.Client
}

// newClient is a client for the server at base with connections for as many
// concurrent calls; key may be empty.
func newClient(base, key string, concurrent int) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = concurrent
	transport.DisableCompression = true
	return &client{base: strings.TrimRight(base, "/"), key: key, http: &http.Client{Transport: transport}}
}

// apiError is an answer that says no (RFC 9457).
type apiError struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
	call string
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("%s: %d %s: %s", e.call, e.Status, e.Code, e.Detail)
	for _, f := range e.Errors {
		text += fmt.Sprintf("; %s: %s", f.Pointer, f.Detail)
	}
	return text
}

// send makes a call and returns the answer, whose body the caller closes. An
// answer that says no becomes an error.
func (c *client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	return nil, problemOf(method+" "+path, resp.StatusCode, text)
}

// problemOf is the error of an answer that says no.
func problemOf(call string, status int, text []byte) *apiError {
	e := &apiError{call: call}
	if json.Unmarshal(text, e) != nil || e.Code == "" {
		e.Code, e.Detail = "no_problem_document", string(text)
	}
	e.Status = status
	return e
}

// call makes a call with a JSON body, if request isn't nil, and reads the JSON
// answer into a T.
func call[T any](ctx context.Context, c *client, method, path string, request any) (*T, error) {
	var body io.Reader
	if request != nil {
		text, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	resp, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer := new(T)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("%s %s: the answer isn't as expected: %w", method, path, err)
	}
	return answer, nil
}

// Wire types: the part of the API that this command uses.
type (
	indexSpec struct {
		Table  string        `json:"table"`
		Column string        `json:"column,omitempty"`
		Type   string        `json:"type"`
		Config *vectorConfig `json:"config,omitempty"`
	}
	vectorConfig struct {
		Dimension      int    `json:"dimension,omitempty"`
		Metric         string `json:"metric,omitempty"`
		M              int    `json:"m,omitempty"`
		EfConstruction int    `json:"ef_construction,omitempty"`
		Ef             int    `json:"ef,omitempty"`
		Quantization   string `json:"quantization,omitempty"`
	}
	predicate struct {
		Column string          `json:"column"`
		Op     string          `json:"op,omitempty"`
		Value  json.RawMessage `json:"value"`
	}
	searchRequest struct {
		Table      string      `json:"table"`
		Column     string      `json:"column"`
		Vector     []float32   `json:"vector,omitempty"`
		Key        string      `json:"key,omitempty"`
		K          int         `json:"k"`
		Ef         int         `json:"ef,omitempty"`
		Predicates []predicate `json:"predicates,omitempty"`
		Exact      bool        `json:"exact,omitempty"`
		Return     string      `json:"return,omitempty"`
	}
	searchAnswer struct {
		Results []struct {
			PK       string  `json:"pk"`
			Distance float32 `json:"distance"`
			Score    float32 `json:"score"`
		} `json:"results"`
	}
	queryRequest struct {
		Table      string      `json:"table"`
		Predicates []predicate `json:"predicates,omitempty"`
		OrderBy    string      `json:"order_by,omitempty"`
		Limit      int         `json:"limit,omitempty"`
		Return     string      `json:"return,omitempty"`
		Explain    bool        `json:"explain,omitempty"`
	}
	queryAnswer struct {
		Keys []string `json:"keys"`
		Plan struct {
			Mode        string            `json:"mode"`
			Steps       []json.RawMessage `json:"steps"`
			Estimates   []json.RawMessage `json:"estimates"`
			RowsScanned int               `json:"rows_scanned"`
		} `json:"plan"`
	}
	tableInfo struct {
		Entities int `json:"entities"`
	}
	// acknowledged is any answer that only matters for not being an error.
	acknowledged struct{}
)

// waitReady waits until the server answers that it is ready.
func (c *client) waitReady(ctx context.Context, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		resp, err := c.send(ctx, http.MethodGet, "/readyz", "", nil)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s isn't ready after %s: %w", c.base, atMost, err)
		case <-ticker.C:
		}
	}
}
