package format

import (
	"math"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"},
		{Count(int64(math.MinInt64)), "-9,223,372,036,854,775,808"}, {Count(-12345), "-12,345"},
		{Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1024), "1 KiB"}, {Bytes(1536), "1.5 KiB"}, {Bytes(1 << 20), "1 MiB"},
		{Bytes(1<<20 - 1), "1 MiB"}, {Bytes(uint64(math.MaxUint64)), "16 EiB"}, {Bytes(-2048), "-2 KiB"},
		{Number(0), "0"}, {Number(0.01234), "0.0123"}, {Number(1.5), "1.5"}, {Number(45.64), "45.6"}, {Number(100), "100"}, {Number(99.96), "100"}, {Number(12345.6), "12,346"}, {Number(math.NaN()), "–"},
		{Number(10), "10"}, {Percent(0.5), "50 %"}, {Percent(1), "100 %"},
		{Millis(0.05), "50 µs"}, {Millis(0.5), "0.5 ms"}, {Millis(12.34), "12.3 ms"}, {Millis(1500), "1.5 s"}, {Millis(90_000), "1 min 30 s"}, {Millis(0), "0 ms"},
		{Duration(2*time.Hour + 5*time.Minute), "2 h 5 min"}, {Duration(49 * time.Hour), "2 d 1 h"}, {Duration(time.Hour), "1 h"}, {Duration(-2 * time.Minute), "-2 min"},
		{Ago(time.Time{}, at), "never"}, {Ago(at, at), "just now"}, {Ago(at.Add(-90*time.Second), at), "1 min ago"}, {Ago(at.Add(-50*time.Hour), at), "2 days ago"}, {Ago(at.Add(3*time.Hour), at), "in 3 h"},
		{Shorten("abc", 3), "abc"}, {Shorten("abcd", 3), "abc…"}, {Shorten("aé", 2), "a…"}, {Shorten("é", 1), "…"},
		{Stored(0, 0), "0 B"}, {Stored(0, 7), "< 4 KiB"}, {Stored(8192, 7), "8 KiB"},
		{Size(1536), "1.5 KiB"}, {Size(math.NaN()), "–"}, {Size(math.Inf(1)), "–"},
		{Sentence(""), ""}, {Sentence("it broke"), "It broke."}, {Sentence("It broke."), "It broke."}, {Sentence("é"), "é."},
		{Reading(nil, "W"), "–"}, {Reading(new(70.5), "W"), "70.5 W"},
		{Plural(1, "table", "tables"), "1 table"}, {Plural(2000, "table", "tables"), "2,000 tables"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{now.Add(-time.Hour), "09:00:00.000"},
		{now.Add(-11 * time.Hour), "Nov 22 23:00:00.000"},
		{now.Add(-time.Minute).In(time.FixedZone("", 12*3600)), "09:59:00.000"},
	} {
		if got := Clock(c.at, now); got != c.want {
			t.Errorf("%v: %s, want %s", c.at, got, c.want)
		}
	}
}
