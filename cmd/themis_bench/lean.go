package main

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"
)

// leanClient makes calls with little processor time of its own. Where clients share the
// cores with the server, what they take the server lacks, and net/http takes as much for
// a call as the server does for a search.
type leanClient struct {
	base, key string
	http      fasthttp.Client
}

// leanTimeout is how long a call may take.
const leanTimeout = time.Minute

// lean is c with connections for as many concurrent calls.
func (c *client) lean(concurrent int) *leanClient {
	return &leanClient{base: c.base, key: c.key, http: fasthttp.Client{MaxConnsPerHost: concurrent, NoDefaultUserAgentHeader: true}}
}

// exchange makes a call and gives the answer to read, which must not keep it. An answer
// that says no becomes an error.
func (c *leanClient) exchange(ctx context.Context, method, path string, body []byte, read func(answer []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(method)
	req.SetRequestURI(c.base + path)
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(body)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if err := c.http.DoTimeout(req, resp, leanTimeout); err != nil {
		return err
	}
	if resp.StatusCode() >= 400 {
		return problemOf(method+" "+path, resp.StatusCode(), resp.Body())
	}
	return read(resp.Body())
}
