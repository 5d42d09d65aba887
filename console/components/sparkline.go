package components

import (
	"math"
	"strconv"
	"strings"
)

// sparkline lays values out over 100 by 30 units. Values that aren't numbers are
// left out.
func sparkline(values []float64) string {
	most := 0.0
	for _, v := range values {
		if !math.IsInf(v, 0) {
			most = max(most, v)
		}
	}
	if len(values) < 2 {
		return ""
	}
	var points strings.Builder
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		x, y := 100*float64(i)/float64(len(values)-1), 29.0
		if most > 0 {
			y = 29 - 28*max(v, 0)/most
		}
		if points.Len() > 0 {
			points.WriteByte(' ')
		}
		points.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64))
	}
	return points.String()
}
