package rest

import (
	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
)

// The media types of bodies; NDJSON is one JSON value a line.
const (
	JSONType   = "application/json"
	NDJSONType = "application/x-ndjson"
)

// Answer sends v as JSON.
func Answer(c fiber.Ctx, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "internal", "the answer could not be written as JSON")
	}
	return Send(c, status, body)
}

// Send answers with JSON that is already written, and keeps body.
func Send(c fiber.Ctx, status int, body []byte) error {
	c.Set(fiber.HeaderContentType, JSONType)
	c.Status(status).Response().SetBodyRaw(body)
	return nil
}
