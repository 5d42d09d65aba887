package api

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// sendEmpty answers with a status alone.
func sendEmpty(c fiber.Ctx, status int) error {
	c.Status(status).Response().ResetBody()
	return nil
}

func setETag(c fiber.Ctx, version uint64) {
	c.Set(fiber.HeaderETag, `"`+strconv.FormatUint(version, 10)+`"`)
}

func setLocation(c fiber.Ctx, resource, id string) {
	c.Set(fiber.HeaderLocation, "/"+resource+"/"+url.PathEscape(id))
}

// Stored documents are valid, compact JSON already, and most of what the hot
// answers consist of. So these answers are appended to a buffer instead of being
// marshalled, which would parse every document once more. The wire types in the
// description say the same; a test compares them.

// entitySpace is what one entity takes besides its document and key.
const entitySpace = 96

func appendEntity(dst []byte, e *engine.Entity) []byte {
	dst = append(dst, `{"key":`...)
	dst = appendString(dst, e.Key.String())
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, e.Version, 10)
	dst = append(dst, `,"updated_at":"`...)
	dst = e.UpdatedAt.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","entity":`...)
	dst = append(dst, e.Doc...)
	return append(dst, '}')
}

func appendEntities(dst []byte, entities []engine.Entity) []byte {
	dst = append(dst, '[')
	for i := range entities {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEntity(dst, &entities[i])
	}
	return append(dst, ']')
}

func entitiesSize(entities []engine.Entity) int {
	size := 256
	for i := range entities {
		size += len(entities[i].Doc) + len(entities[i].Key.PK) + entitySpace
	}
	return size
}

// appendString quotes s, which is valid UTF-8: keys and cursors are.
func appendString(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return strconv.AppendQuoteToASCII(dst, "")
	}
	return out
}

// appendFloat writes f, which JSON can't hold unless it is finite; a distance
// that overflowed becomes the largest number.
func appendFloat(dst []byte, f float32) []byte {
	switch {
	case f > math.MaxFloat32 || f != f:
		f = math.MaxFloat32
	case f < -math.MaxFloat32:
		f = -math.MaxFloat32
	}
	return jsontext.AppendFloat(dst, float64(f), 32)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendTook ends an answer with the optional cursor and the time it took.
func appendTook(dst []byte, nextCursor string, took time.Duration) []byte {
	if nextCursor != "" {
		dst = append(dst, `,"next_cursor":`...)
		dst = appendString(dst, nextCursor)
	}
	dst = append(dst, `,"took_ms":`...)
	return jsontext.AppendFloat(dst, milliseconds(took), 64)
}

// milliseconds with three decimals, which is microseconds.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// appendMember adds a member that is marshalled, if there is one.
func appendMember(dst []byte, name string, v any) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "internal", "the answer could not be written as JSON")
	}
	dst = append(dst, `,"`+name+`":`...)
	return append(dst, value...), nil
}

// statusCreated is 201 for something new, else 200.
func statusCreated(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// appendHead opens a page: its table and its count.
func appendHead(dst []byte, table string, count int) []byte {
	dst = append(dst, `{"table":`...)
	dst = appendString(dst, table)
	dst = append(dst, `,"count":`...)
	return strconv.AppendInt(dst, int64(count), 10)
}

func appendCounts(dst []byte, count, k int) []byte {
	dst = strconv.AppendInt(append(dst, `,"count":`...), int64(count), 10)
	return strconv.AppendInt(append(dst, `,"k":`...), int64(k), 10)
}
