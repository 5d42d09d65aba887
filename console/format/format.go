// Package format writes numbers, sizes and times the way the console shows
// them. It owns no goroutines and no locks.
package format

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Integer is what Count formats.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Count writes 1234567 as 1,234,567.
func Count[N Integer](n N) string {
	digits := strconv.FormatUint(uint64(n), 10)
	sign := ""
	if n < 0 {
		digits, sign = strconv.FormatUint(-uint64(n), 10), "-"
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Bytes writes a size in binary units: 512 B, 1.5 KiB, 12 MiB.
func Bytes[N Integer](n N) string {
	if n < 0 {
		return "-" + Bytes(-uint64(n))
	}
	value, unit := float64(n), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return strconv.FormatUint(uint64(n), 10) + " B"
	}
	return Number(value) + " " + units[unit]
}

// Stored is about how much a number of entities or entries take on disk; RocksDB
// doesn't tell less than a block.
func Stored(bytes, n uint64) string {
	if bytes == 0 && n > 0 {
		return "< 4 KiB"
	}
	return Bytes(bytes)
}

// Size is Bytes for a figure that may not be known: NaN is –.
func Size(bytes float64) string {
	if math.IsNaN(bytes) || math.IsInf(bytes, 0) {
		return "–"
	}
	return Bytes(int64(bytes))
}

// Number writes a figure with about three digits: 0.0123, 1.23, 45.6, 1,234.
func Number(x float64) string {
	switch size := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "–"
	case size >= 99.95:
		return Count(int64(math.Round(x)))
	case size >= 9.995:
		return trimZeros(strconv.FormatFloat(x, 'f', 1, 64))
	case size >= 0.9995 || size == 0:
		return trimZeros(strconv.FormatFloat(x, 'f', 2, 64))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func trimZeros(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// Percent writes a share of 1: 0.123 is 12.3 %.
func Percent(share float64) string { return Number(100*share) + " %" }

// Millis writes a time in milliseconds: 1.23 ms, 45.6 s.
func Millis(ms float64) string {
	switch {
	case ms >= 60_000:
		return Duration(time.Duration(ms * float64(time.Millisecond)))
	case ms >= 999.5:
		return Number(ms/1000) + " s"
	case ms > 0 && ms < 0.1:
		return Number(ms*1000) + " µs"
	}
	return Number(ms) + " ms"
}

// Duration writes the two greatest units of a time: 3 d 4 h, 12 min 3 s, 1.5 s.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-d)
	}
	if d < time.Minute {
		return Millis(float64(d) / float64(time.Millisecond))
	}
	d = d.Round(time.Second)
	units := []struct {
		name string
		is   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.is {
			continue
		}
		text := strconv.FormatInt(int64(d/u.is), 10) + " " + u.name
		if i+1 < len(units) {
			if rest := d % u.is / units[i+1].is; rest > 0 {
				text += " " + strconv.FormatInt(int64(rest), 10) + " " + units[i+1].name
			}
		}
		return text
	}
	return "0 s"
}

// Ago writes how long ago something was, to the greatest unit: 5 min ago.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	switch {
	case d < 0 && d > -time.Second, d >= 0 && d < 5*time.Second:
		return "just now"
	case d < 0:
		return "in " + greatest(-d)
	}
	return greatest(d) + " ago"
}

func greatest(d time.Duration) string {
	whole := func(unit time.Duration, name string) string {
		return strconv.FormatInt(int64(d/unit), 10) + " " + name
	}
	switch {
	case d < time.Minute:
		return whole(time.Second, "s")
	case d < time.Hour:
		return whole(time.Minute, "min")
	case d < 48*time.Hour:
		return whole(time.Hour, "h")
	}
	return whole(24*time.Hour, "days")
}

// Shorten cuts text to about most bytes, never inside a character, and says
// with … that it did.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Plural is "1 table" or "3 tables"; many is the plural.
func Plural[N Integer](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Sentence begins a phrase with a capital and ends it with a full stop.
func Sentence(phrase string) string {
	if phrase == "" {
		return ""
	}
	if first := phrase[0]; first >= 'a' && first <= 'z' {
		phrase = string(first-'a'+'A') + phrase[1:]
	}
	return strings.TrimSuffix(phrase, ".") + "."
}

// Reading is a figure with its unit that may not be known.
func Reading(value *float64, unit string) string {
	if value == nil {
		return "–"
	}
	return Number(*value) + " " + unit
}
