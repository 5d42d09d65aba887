package api

import (
	"cmp"
	"strconv"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/rest"
)

// pathKey reads the key from the escaped path, so that %2F is part of a key and
// / isn't.
func pathKey(c fiber.Ctx) (engine.Key, error) {
	text, err := rest.PathText(c, "key")
	if err != nil {
		return engine.Key{}, err
	}
	return engine.ParseKey(text)
}

// Page sizes.
const (
	defaultLimit = 100
	maxLimit     = 10_000
)

func queryLimit(c fiber.Ctx) (int, error) {
	text := cmp.Or(rest.QueryText(c, "limit"), strconv.Itoa(defaultLimit))
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, errs.New(errs.Invalid, "invalid_parameter", "limit must be 1 to %d, not %q", maxLimit, text)
	}
	return limit, nil
}
