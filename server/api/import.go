package api

import (
	"crypto/sha256"
	"io"
	"net/http"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/ndjson"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// importLines answers POST /entities/batch with an NDJSON body. It reads with
// the request's lifetime instead of its deadline; each chunk has its own.
func (a *API) importLines(c fiber.Ctx) error {
	digest := sha256.New()
	body := ndjson.UntilEnd(request.Body(c))
	if c.Get("Idempotency-Key") != "" {
		body = io.TeeReader(body, digest)
	}
	bodyHash := func() (sum hash, err error) {
		_, err = io.Copy(io.Discard, body)
		return [sha256.Size]byte(digest.Sum(nil)), err
	}
	return a.once.do(c, bodyHash, func() error {
		summary, err := ndjson.Import{DB: a.db, ChunkTimeout: a.opts.ChunkTimeout(), MaxLineBytes: a.opts.MaxLineBytes}.Run(request.Lifetime(c), body)
		if err != nil {
			return err
		}
		return rest.Answer(c, http.StatusOK, summary)
	})
}
