package logs

import (
	"bytes"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/logging"
	"github.com/vccdb/vccdb/server/rest"
)

// download answers with all entries that the filter lets through, oldest first, as
// lines of JSON like those of a log file.
func (l *Logs) download(c fiber.Ctx) error {
	var body bytes.Buffer
	e := jsontext.NewEncoder(&body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for _, item := range l.o.Entries.After(0, 1<<20, logFilterOf(c).keep()).Items {
		if err := writeEntry(e, item.Value); err != nil {
			return errs.Wrap(err, errs.Internal, "internal", "the log could not be written as JSON")
		}
	}
	name := "themis-log-" + time.Now().UTC().Format("20060102-150405") + ".ndjson"
	return rest.Download(c, name, rest.NDJSONType, io.NopCloser(&body), int64(body.Len()))
}

// writeEntry writes an entry as one line.
func writeEntry(e *jsontext.Encoder, entry *logging.Entry) error {
	tokens := []jsontext.Token{
		jsontext.BeginObject,
		jsontext.String("time"), jsontext.String(entry.Time.UTC().Format(time.RFC3339Nano)),
		jsontext.String("level"), jsontext.String(logging.LevelName(entry.Level)),
		jsontext.String("msg"), jsontext.String(entry.Message),
		jsontext.String(logging.Component), jsontext.String(entry.Component),
	}
	for _, a := range entry.Attrs {
		tokens = append(tokens, jsontext.String(a.Key), jsontext.String(a.Value))
	}
	for _, t := range append(tokens, jsontext.EndObject) {
		if err := e.WriteToken(t); err != nil {
			return err
		}
	}
	return nil
}
