package server

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/vccdb/vccdb/internal/errs"
)

var (
	crlf          = []byte("\r\n")
	contentLength = []byte("Content-Length")
	transferCode  = []byte("Transfer-Encoding")
	hostName      = []byte("Host")
	chunkedCode   = []byte("chunked")
)

// strict refuses what is HTTP by a generous reading only: a proxy in front may
// read it in another way, and see other requests than this server does.
// fasthttp has checked the characters; these are other rules of RFC 9112.
func strict(h *fasthttp.RequestHeader) error {
	var lengths, encodings, hosts int
	for rest := h.RawHeaders(); len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line, found := bytes.CutSuffix(rest[:end], crlf)
		rest = rest[end:]
		if !found || bytes.IndexByte(line, '\r') >= 0 {
			return malformedHeader("a line doesn't end in CR LF")
		}
		if len(line) == 0 {
			continue // the end
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.ContainsAny(name, " \t") {
			return malformedHeader("a line is folded, or has a space before its colon")
		}
		switch {
		case bytes.EqualFold(name, hostName):
			hosts++
		case bytes.EqualFold(name, contentLength):
			lengths++
		case bytes.EqualFold(name, transferCode):
			encodings++
			if !bytes.EqualFold(bytes.Trim(value, " \t"), chunkedCode) {
				return malformedHeader("the only Transfer-Encoding taken is chunked")
			}
		}
	}
	protocol := string(h.Protocol())
	switch {
	case protocol != "HTTP/1.1" && protocol != "HTTP/1.0":
		return malformedHeader("the version must be HTTP/1.1 or HTTP/1.0")
	case lengths+encodings > 1:
		return malformedHeader("the length of the body is given twice")
	case encodings > 0 && protocol == "HTTP/1.0":
		return malformedHeader("HTTP/1.0 has no Transfer-Encoding")
	case hosts > 1 || hosts == 0 && protocol == "HTTP/1.1":
		return malformedHeader("there must be one Host")
	}
	return nil
}

func malformedHeader(why string) error {
	return errs.New(errs.Invalid, "malformed_request", "This is not a well-formed HTTP request: %s.", why)
}
