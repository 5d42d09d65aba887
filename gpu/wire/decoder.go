package wire

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// decoder takes a payload apart from its front. After anything that can't be, bad is
// set and all that is taken is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.b) < n {
		d.bad, d.b = true, nil
		return nil
	}
	part := d.b[:n]
	d.b = d.b[n:]
	return part
}

func (d *decoder) u8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count takes a u32 that fits an int32.
func (d *decoder) count() int {
	v := d.u32()
	if v > math.MaxInt32 {
		d.bad = true
		return 0
	}
	return int(v)
}

// i64 takes a u64 that fits an int64.
func (d *decoder) i64() int64 {
	v := d.u64()
	if v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	return int64(v)
}

// zero takes n reserved bytes.
func (d *decoder) zero(n int) {
	for _, b := range d.take(n) {
		if b != 0 {
			d.bad = true
		}
	}
}

// text takes a string of at most limit bytes. What isn't UTF-8 in it is replaced: it
// may come from a driver.
func (d *decoder) text(limit int) string {
	var n int
	if b := d.take(2); b != nil {
		n = int(binary.LittleEndian.Uint16(b))
	}
	if n > limit {
		d.bad = true
		return ""
	}
	return strings.ToValidUTF8(string(d.take(n)), "?")
}

// version takes magic and version, and refuses any but ours.
func (d *decoder) version(v *uint32) error {
	if d.u32() != magic {
		return violation("the peer is no Themis server or GPU worker")
	}
	*v = d.u32()
	if !d.bad && *v != Version {
		return &VersionError{Own: Version, Peer: *v}
	}
	return nil
}

// end checks that the payload was right, and taken whole.
func (d *decoder) end(what string) error {
	if d.bad || len(d.b) != 0 {
		return violation("a malformed %s", what)
	}
	return nil
}

// appendText appends a string with its length, cut to at most limit bytes between two
// characters.
func appendText(b []byte, s string, limit int) []byte {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
