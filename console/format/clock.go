package format

import "time"

// Clock writes the time of the day in UTC, with the day unless that is today, and
// to the millisecond: 15:04:05.123, Jan 2 15:04:05.123.
func Clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05.000")
	}
	return t.Format("Jan 2 15:04:05.000")
}
