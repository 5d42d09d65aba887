package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/auth"
)

// smuggled is the request that an attack hides in another.
const smuggled = "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nS"

// attacks are requests that two readers of HTTP may cut in different places.
// None of them is well-formed, or what looks like a second request is the body
// of the first; so nothing may reach /smuggled.
func attacks() map[string]string {
	post := func(header, rest string) string {
		return "POST /size HTTP/1.1\r\nHost: x\r\n" + header + "\r\n\r\n" + rest
	}
	length := fmt.Sprintf("Content-Length: %d", len(smuggled))
	all := map[string]string{
		"body that looks like a request": post(length, smuggled),
		"GET with a body":                "GET /things/a HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
		"chunk that looks like one":      post("Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)),

		"CL.TE":               post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"+smuggled),
		"TE.CL":               post("Transfer-Encoding: chunked\r\nContent-Length: 4", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)),
		"CL.0":                post("Content-Length: 0\r\nContent-Length: 4", smuggled),
		"CL twice, same":      post(length+"\r\n"+length, smuggled),
		"CL list":             post("Content-Length: 4, 4", "abcd"+smuggled),
		"CL twice, different": post("Content-Length: 4\r\nContent-Length: 0", "abcd"+smuggled),
		"CL signed":           post("Content-Length: +4", "abcd"+smuggled),
		"CL negative":         post("Content-Length: -1", smuggled),
		"CL hex":              post("Content-Length: 0x4", "abcd"+smuggled),
		"CL float":            post("Content-Length: 4.0", "abcd"+smuggled),
		"CL empty":            post("Content-Length:", smuggled),
		"CL huge":             post("Content-Length: 99999999999999999999999999", smuggled),
		"CL wraps to 0":       post("Content-Length: 18446744073709551616", smuggled),
		"CL underscore":       post("Content-Length: 1_0", smuggled),
		"CL with NUL":         post("Content-Length: 4\x00", smuggled),

		"TE identity":       post("Transfer-Encoding: identity", smuggled),
		"TE identity, CL":   post("Transfer-Encoding: identity\r\nContent-Length: 4", "abcd"+smuggled),
		"TE twice":          post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"+smuggled),
		"TE chunked, x":     post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "0\r\n\r\n"+smuggled),
		"TE list":           post("Transfer-Encoding: identity, chunked", "0\r\n\r\n"+smuggled),
		"TE gzip list":      post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"+smuggled),
		"TE xchunked":       post("Transfer-Encoding: xchunked", "0\r\n\r\n"+smuggled),
		"TE quoted":         post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"+smuggled),
		"TE with VT":        post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"+smuggled),
		"TE parameter":      post("Transfer-Encoding: chunked;x", "0\r\n\r\n"+smuggled),
		"TE space, colon":   post("Transfer-Encoding : chunked", "0\r\n\r\n"+smuggled),
		"TE tab, colon":     post("Transfer-Encoding\t: chunked", "0\r\n\r\n"+smuggled),
		"TE folded":         post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"+smuggled),
		"TE leading space":  post("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n"+smuggled),
		"TE after bare CR":  post("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n"+smuggled),
		"TE after bare LF":  post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n"+smuggled),
		"TE underscore":     post("Transfer_Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 5", "abcd"+smuggled),
		"TE with HTTP/1.0":  strings.Replace(post("Transfer-Encoding: chunked", "0\r\n\r\n"+smuggled), "HTTP/1.1", "HTTP/1.0", 1),
		"CL space, colon":   post("Content-Length : 4", "abcd"+smuggled),
		"CL folded":         post("Content-Length:\r\n 4", "abcd"+smuggled),
		"header folded":     post("X: a\r\n b\r\nContent-Length: 4", "abcd"+smuggled),
		"header empty name": post(": x\r\nContent-Length: 4", "abcd"+smuggled),
		"header no colon":   post("hello\r\nContent-Length: 4", "abcd"+smuggled),
		"header with NUL":   post("X: a\x00b\r\nContent-Length: 4", "abcd"+smuggled),
		"name with NUL":     post("X\x00Y: a\r\nContent-Length: 4", "abcd"+smuggled),
		"name in brackets":  post("[X]: a\r\nContent-Length: 4", "abcd"+smuggled),
		"headers end in LF": "POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 4\n\nabcd" + smuggled,
		"only bare LF":      "POST /size HTTP/1.1\nHost: x\nContent-Length: 4\n\nabcd" + smuggled,
		"only bare CR":      "POST /size HTTP/1.1\rHost: x\rContent-Length: 4\r\rabcd" + smuggled,
		"LF CR":             "POST /size HTTP/1.1\n\rHost: x\n\r\n\r" + smuggled,

		"chunk size negative":     post("Transfer-Encoding: chunked", "-1\r\n"+smuggled),
		"chunk size overflows":    post("Transfer-Encoding: chunked", "10000000000000000\r\n"+smuggled),
		"chunk size overflows 32": post("Transfer-Encoding: chunked", "100000000\r\n"+smuggled),
		"chunk size 0x":           post("Transfer-Encoding: chunked", "0x0\r\n\r\n"+smuggled),
		"chunk size spaced":       post("Transfer-Encoding: chunked", " 0\r\n\r\n"+smuggled),
		"chunk size empty":        post("Transfer-Encoding: chunked", "\r\n\r\n"+smuggled),
		"chunk bare LF":           post("Transfer-Encoding: chunked", "4\nabcd\n0\n\n"+smuggled),
		"chunk bare CR":           post("Transfer-Encoding: chunked", "4\rabcd\r0\r\r"+smuggled),
		"chunk extension LF":      post("Transfer-Encoding: chunked", "4;a\nabcd\r\n0\r\n\r\n"+smuggled),
		"chunk too long":          post("Transfer-Encoding: chunked", "2\r\nabcd\r\n0\r\n\r\n"+smuggled),
		"chunk ends without CRLF": post("Transfer-Encoding: chunked", "4\r\nabcd0\r\n\r\n"+smuggled),
		"trailer smuggles TE":     post("Transfer-Encoding: chunked\r\nTrailer: Transfer-Encoding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"+smuggled),
		"trailer smuggles CL":     post("Transfer-Encoding: chunked\r\nTrailer: Content-Length", "0\r\nContent-Length: 90\r\n\r\n"+smuggled),
		"trailer bare LF":         post("Transfer-Encoding: chunked", "0\r\nX: y\n\n"+smuggled),

		"Host twice":            post("Host: y\r\nContent-Length: 4", "abcd"+smuggled),
		"no Host":               "POST /size HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd" + smuggled,
		"HTTP/2 preface":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
		"HTTP/0.9":              "GET /things/a\r\n" + smuggled,
		"version 1.10":          strings.Replace(post("Content-Length: 4", "abcd"+smuggled), "HTTP/1.1", "HTTP/1.10", 1),
		"version 9.9":           strings.Replace(post("Content-Length: 4", "abcd"+smuggled), "HTTP/1.1", "HTTP/9.9", 1),
		"target with a space":   "POST /size HTTP/1.1\r\nX: /size HTTP/1.1\r\nHost: x y\r\n y\r\n\r\n" + smuggled,
		"two spaces":            "POST  /size HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"tabs":                  "POST\t/size\tHTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"target asterisk":       "GET * HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"method with a colon":   "Host: x\r\n\r\n" + smuggled,
		"method unknown, body":  "BREW /size HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
		"header too large":      post("X: "+strings.Repeat("x", 20<<10), smuggled),
		"too many headers":      post(strings.Repeat("X: y\r\n", 4000)+"Z: z", smuggled),
		"body too large":        post("Content-Length: 99999999", smuggled),
		"404 with a body":       "POST /none HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
		"405 with a body":       "DELETE /size HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
		"expectation, long":     post("Expect: 100-continue\r\n"+length, smuggled),
		"upgrade":               post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"+length, smuggled),
		"connection hides TE":   post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"+smuggled),
		"connection hides CL":   post("Connection: close, Content-Length\r\nContent-Length: 4\r\nContent-Length: 4", "abcd"+smuggled),
		"operation with a body": "GET /readyz HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
		"absolute target":       "POST http://y/size HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + smuggled,
	}
	return all
}

// TestSmuggling sends every attack, in one piece and byte by byte, and counts
// what is executed.
func TestSmuggling(t *testing.T) {
	var mu sync.Mutex
	executed := 0
	l := start(t, Options{MaxRequestBytes: 1 << 20, BodyTimeout: 300 * time.Millisecond, HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 300 * time.Millisecond},
		oneRoute("POST", "/smuggled", func(c fiber.Ctx) error {
			mu.Lock()
			executed++
			mu.Unlock()
			return c.SendString("smuggled")
		}))
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return executed
	}
	// The trap works: the same request on its own is executed.
	if c := l.connect(t); c != nil {
		io.WriteString(c, smuggled)
		if status, body := answer(t, c); status != 200 || body != "smuggled" || count() != 1 {
			t.Fatalf("the trap: %d %s", status, body)
		}
	}
	corpus := attacks()
	if len(corpus) < 80 {
		t.Errorf("only %d attacks", len(corpus))
	}
	var wg sync.WaitGroup
	for name, text := range corpus {
		for _, piece := range []int{len(text), 7} {
			if testing.Short() && piece != len(text) || len(text) > 4<<10 && piece == 7 {
				continue
			}
			c := l.connect(t)
			wg.Go(func() {
				go func() { // the server may stop reading
					for rest := text; rest != ""; {
						n := min(piece, len(rest))
						if _, err := io.WriteString(c, rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
					}
				}()
				answers, refused := answers(c)
				if answers != 1 && !(refused && answers == 0) {
					t.Errorf("%s, pieces of %d: %d answers", name, piece, answers)
				}
			})
		}
	}
	wg.Wait()
	if n := count(); n != 1 {
		t.Errorf("%d smuggled requests were executed", n-1)
	}
}

// answers counts the final answers on a connection until its end; refused is
// whether the last of them was a 4xx after which it was closed.
func answers(c net.Conn) (n int, refused bool) {
	reader := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(reader, &http.Request{Method: "POST"})
		if err != nil {
			return n, refused
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode == http.StatusContinue || res.StatusCode == http.StatusRequestTimeout && n > 0 {
			continue // not an answer to a request
		}
		n++
		refused = res.StatusCode >= 400 && res.StatusCode < 500 && res.Close
	}
}

// connect opens a connection that the test closes.
func (l *live) connect(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// oneRoute is one more route for writers.
func oneRoute(method, path string, handle fiber.Handler) routes {
	var r routes
	r.add(method, path, auth.ReadWrite, handle)
	return r
}
