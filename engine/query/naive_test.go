package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"math/big"
	"strings"
)

// The oracle: filters, orders and paths evaluated over what encoding/json
// decodes (numbers as json.Number), straight from their wire form. It shares
// nothing with the package.

func decodeAny(text string) any {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(text + ": " + err.Error())
	}
	return v
}

// naiveAt are the raw nodes at a path: of arrays on the way, each element.
func naiveAt(v any, path []string) []any {
	if len(path) == 0 {
		return []any{v}
	}
	switch v := v.(type) {
	case []any:
		var out []any
		for _, element := range v {
			out = append(out, naiveAt(element, path)...)
		}
		return out
	case map[string]any:
		if child, ok := v[path[0]]; ok {
			return naiveAt(child, path[1:])
		}
	}
	return nil
}

// naiveValues flattens the arrays at a path; what isn't a scalar becomes an
// empty map.
func naiveValues(doc any, column string) []any {
	var out []any
	var flatten func(v any)
	flatten = func(v any) {
		list, isList := v.([]any)
		_, isObject := v.(map[string]any)
		switch {
		case isList && len(list) > 0:
			for _, element := range list {
				flatten(element)
			}
		case isList || isObject:
			out = append(out, map[string]any{})
		default:
			out = append(out, v)
		}
	}
	for _, v := range naiveAt(doc, strings.Split(column, ".")) {
		flatten(v)
	}
	return out
}

func naiveKind(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case json.Number:
		return 2
	case string:
		return 3
	}
	return 4
}

// naiveNumber is exact: an integer as written if it fits int64, else the
// nearest float64.
func naiveNumber(n json.Number) *big.Float {
	exact := new(big.Float).SetPrec(64) // enough for both, and Cmp doesn't round
	if i, err := n.Int64(); err == nil {
		return exact.SetInt64(i)
	}
	f, err := n.Float64()
	if err != nil {
		panic(err)
	}
	return exact.SetFloat64(f)
}

func naiveCompare(a, b any) int {
	if c := cmp.Compare(naiveKind(a), naiveKind(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case bool:
		toInt := map[bool]int{true: 1}
		return cmp.Compare(toInt[a], toInt[b.(bool)])
	case json.Number:
		return naiveNumber(a).Cmp(naiveNumber(b.(json.Number)))
	case string:
		return cmp.Compare(a, b.(string))
	}
	return 0
}

func naiveFilter(doc, filter any) bool {
	f := filter.(map[string]any)
	if list, ok := f["and"].([]any); ok {
		for _, child := range list {
			if !naiveFilter(doc, child) {
				return false
			}
		}
		return true
	}
	if list, ok := f["or"].([]any); ok {
		for _, child := range list {
			if naiveFilter(doc, child) {
				return true
			}
		}
		return false
	}
	if child, ok := f["not"]; ok {
		return !naiveFilter(doc, child)
	}
	op, ok := f["op"].(string)
	if !ok {
		op = "eq"
	}
	return naiveLeaf(doc, f["column"].(string), op, f["value"])
}

func naiveLeaf(doc any, column, op string, operand any) bool {
	switch op {
	case "ne":
		return !naiveLeaf(doc, column, "eq", operand)
	case "nin":
		return !naiveLeaf(doc, column, "in", operand)
	case "exists":
		return (len(naiveAt(doc, strings.Split(column, "."))) > 0) == (operand == nil || operand == true)
	case "geo_radius", "geo_box":
		for _, node := range naiveAt(doc, strings.Split(column, ".")) {
			for _, p := range naivePoints(node) {
				if naiveInRegion(p, op, operand.(map[string]any)) {
					return true
				}
			}
		}
		return false
	}
	for _, v := range naiveValues(doc, column) {
		if naiveValueMatches(v, op, operand) {
			return true
		}
	}
	return false
}

func naiveValueMatches(v any, op string, operand any) bool {
	text, isText := v.(string)
	switch op {
	case "in":
		for _, o := range operand.([]any) {
			if naiveValueMatches(v, "eq", o) {
				return true
			}
		}
		return false
	case "between":
		bounds := operand.([]any)
		return naiveValueMatches(v, "gte", bounds[0]) && naiveValueMatches(v, "lte", bounds[1])
	case "prefix":
		return isText && strings.HasPrefix(text, operand.(string))
	case "contains":
		if part, ok := operand.(string); ok {
			return isText && strings.Contains(text, part)
		}
		op = "eq"
	}
	if naiveKind(v) != naiveKind(operand) {
		return false
	}
	c := naiveCompare(v, operand)
	return map[string]bool{"eq": c == 0, "lt": c < 0, "lte": c <= 0, "gt": c > 0, "gte": c >= 0}[op]
}

// naivePoints are the {lat, lon} in a node: a point or a list of points.
func naivePoints(node any) [][2]float64 {
	if p, ok := naivePoint(node); ok {
		return [][2]float64{p}
	}
	var out [][2]float64
	list, _ := node.([]any)
	for _, element := range list {
		if p, ok := naivePoint(element); ok {
			out = append(out, p)
		}
	}
	return out
}

func naivePoint(node any) ([2]float64, bool) {
	var lat, lon any
	switch v := node.(type) {
	case map[string]any:
		lat, lon = v["lat"], v["lon"]
		if v["type"] == "Point" {
			return naivePoint(v["coordinates"])
		}
	case []any:
		if len(v) == 2 || len(v) == 3 && naiveKind(v[2]) == 2 {
			lon, lat = v[0], v[1]
		}
	}
	if naiveKind(lat) != 2 || naiveKind(lon) != 2 {
		return [2]float64{}, false
	}
	p := [2]float64{naiveFloat(lat), naiveFloat(lon)}
	return p, math.Abs(p[0]) <= 90 && math.Abs(p[1]) <= 180
}

func naiveFloat(v any) float64 {
	f, err := v.(json.Number).Float64()
	if err != nil {
		panic(err)
	}
	return f
}

func naiveInRegion(p [2]float64, op string, region map[string]any) bool {
	if op == "geo_box" {
		minLat, maxLat := naiveFloat(region["min_lat"]), naiveFloat(region["max_lat"])
		minLon, maxLon := naiveFloat(region["min_lon"]), naiveFloat(region["max_lon"])
		inLon := minLon <= p[1] && p[1] <= maxLon
		if minLon > maxLon {
			inLon = minLon <= p[1] || p[1] <= maxLon
		}
		return minLat <= p[0] && p[0] <= maxLat && inLon
	}
	// The angle between two unit vectors, from their chord.
	a, b := unit(p[0], p[1]), unit(naiveFloat(region["lat"]), naiveFloat(region["lon"]))
	chord := math.Hypot(math.Hypot(a[0]-b[0], a[1]-b[1]), a[2]-b[2])
	return 2*math.Asin(min(1, chord/2))*6_371_008.8 <= naiveFloat(region["radius_m"])
}

func unit(lat, lon float64) [3]float64 {
	lat, lon = lat*math.Pi/180, lon*math.Pi/180
	return [3]float64{math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)}
}

// naiveLess is the order of two documents by columns, then by id, which goes
// down if the first column does.
func naiveLess(orders []Order, a, b any, idA, idB uint32) bool {
	for _, o := range orders {
		va, vb := naiveValues(a, o.Column), naiveValues(b, o.Column)
		if len(va) == 0 || len(vb) == 0 {
			if len(va) != len(vb) && (len(va) == 0 || len(vb) == 0) {
				return len(vb) == 0
			}
			continue
		}
		c := naiveCompare(naiveExtreme(va, o.Desc), naiveExtreme(vb, o.Desc))
		if o.Desc {
			c = -c
		}
		if c != 0 {
			return c < 0
		}
	}
	if len(orders) > 0 && orders[0].Desc {
		return idA > idB
	}
	return idA < idB
}

func naiveExtreme(values []any, largest bool) any {
	out := values[0]
	for _, v := range values[1:] {
		if c := naiveCompare(v, out); c < 0 && !largest || c > 0 && largest {
			out = v
		}
	}
	return out
}
