package engine

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/vccdb/vccdb/internal/errs"
)

// maxID is the last entity id there can be.
const maxID = math.MaxUint32

// cursor is where a page ended. Clients see it as opaque text.
type cursor struct {
	// Fingerprint ties a cursor to the request it belongs to.
	Fingerprint uint64 `json:"f"`
	ID          uint32 `json:"i"`
	// Key is the sort key of a query's last entity; see query.Sorter.
	Key []byte `json:"k,omitempty"`
	// Distance and Seen belong to vector search: the last hit's distance and how
	// many hits all pages so far had.
	Distance float32 `json:"d,omitempty"`
	Seen     int     `json:"n,omitempty"`
}

// encode writes it as JSON, and by hand, since every search and every page has one.
func (c cursor) encode(fingerprint uint64) string {
	var buffer [128]byte
	text := strconv.AppendUint(append(buffer[:0], `{"f":`...), fingerprint, 10)
	text = strconv.AppendUint(append(text, `,"i":`...), uint64(c.ID), 10)
	if len(c.Key) > 0 {
		text = append(base64.StdEncoding.AppendEncode(append(text, `,"k":"`...), c.Key), '"')
	}
	if c.Distance != 0 {
		text = strconv.AppendFloat(append(text, `,"d":`...), float64(c.Distance), 'g', -1, 32)
	}
	if c.Seen != 0 {
		text = strconv.AppendInt(append(text, `,"n":`...), int64(c.Seen), 10)
	}
	return base64.RawURLEncoding.EncodeToString(append(text, '}'))
}

// parseCursor reads a cursor that a request with the same fingerprint made.
func parseCursor(s string, fingerprint uint64) (cursor, error) {
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Seen < 0 || math.IsNaN(float64(c.Distance)) {
		return c, errs.Field("invalid_cursor", "/cursor", "this isn't a cursor of ours; take next_cursor from an answer as it is")
	}
	if c.Fingerprint != fingerprint {
		return c, errs.Field("invalid_cursor", "/cursor", "this cursor belongs to another request; only limit may change between pages")
	}
	return c, nil
}

// fingerprintOf hashes what a cursor must not outlive.
func fingerprintOf(parts ...string) uint64 {
	h := xxhash.New()
	for _, p := range parts {
		h.WriteString(p)
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// vectorFingerprint hashes a vector.
func vectorFingerprint(v []float32) uint64 {
	h := xxhash.New()
	var part [512]byte
	for chunk := range slices.Chunk(v, len(part)/4) {
		text := part[:0]
		for _, x := range chunk {
			text = binary.LittleEndian.AppendUint32(text, math.Float32bits(x))
		}
		h.Write(text)
	}
	return h.Sum64()
}
