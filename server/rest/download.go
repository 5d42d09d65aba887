package rest

import (
	"io"

	"github.com/gofiber/fiber/v3"
)

// TarType is the media type of tar files.
const TarType = "application/x-tar"

// Download answers with a file of a known length for the client to keep; name is
// fit for a file's name on any system. The content is read after the handler has
// returned and closed in the end, so it must not depend on the request's context.
// If reading it fails, the connection is closed before the length is reached.
func Download(c fiber.Ctx, name, mediaType string, content io.ReadCloser, length int64) error {
	c.Set(fiber.HeaderContentType, mediaType)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.SendStream(content, int(length))
}
