package testkit

import (
	"math"
	"math/rand/v2"
	"strings"
)

// The naive evaluator of filters: it works on what encoding/json decodes and
// shares no code with the database, so that both being wrong in the same way
// takes the same mistake made twice.

// Filter is a filter in its wire form.
type Filter map[string]any

// rank orders the JSON types: null < bool < number < string < object.
func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case float64, int:
		return 2
	case string:
		return 3
	}
	return 4
}

func number(v any) float64 {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	return v.(float64)
}

// compareJSON compares two values of the same rank.
func compareJSON(a, b any) int {
	switch rank(a) {
	case 1:
		x, y := a.(bool), b.(bool)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	case 2:
		x, y := number(a), number(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	case 3:
		return strings.Compare(a.(string), b.(string))
	}
	return 0
}

// valuesAt lists what a dotted path leads to, array elements one by one; an
// object or an empty array stands for itself.
func valuesAt(v any, path []string) (values []any, present bool) {
	if len(path) == 0 {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return []any{v}, true
		}
		return list, true
	}
	switch v := v.(type) {
	case map[string]any:
		next, ok := v[path[0]]
		if !ok {
			return nil, false
		}
		return valuesAt(next, path[1:])
	case []any:
		for _, element := range v {
			if o, ok := element.(map[string]any); ok {
				more, p := valuesAt(o, path)
				values, present = append(values, more...), present || p
			}
		}
	}
	return values, present
}

// Matches says whether a decoded document passes the filter; nil passes all.
func Matches(f Filter, doc map[string]any) bool {
	switch {
	case f == nil:
		return true
	case f["and"] != nil:
		for _, child := range f["and"].([]any) {
			if !Matches(child.(Filter), doc) {
				return false
			}
		}
		return true
	case f["or"] != nil:
		for _, child := range f["or"].([]any) {
			if Matches(child.(Filter), doc) {
				return true
			}
		}
		return false
	case f["not"] != nil:
		return !Matches(f["not"].(Filter), doc)
	}
	return matchesLeaf(f, doc)
}

func matchesLeaf(f Filter, doc map[string]any) bool {
	values, present := valuesAt(doc, strings.Split(f["column"].(string), "."))
	op, _ := f["op"].(string)
	operand := f["value"]
	is := func(operand any) func(any) bool {
		return func(v any) bool { return rank(v) == rank(operand) && rank(v) < 4 && compareJSON(v, operand) == 0 }
	}
	anyValue := func(test func(any) bool) bool {
		for _, v := range values {
			if test(v) {
				return true
			}
		}
		return false
	}
	in := func() bool {
		for _, o := range operand.([]any) {
			if anyValue(is(o)) {
				return true
			}
		}
		return false
	}
	ranged := func(ok func(int) bool) bool {
		return anyValue(func(v any) bool {
			return rank(v) == rank(operand) && rank(v) < 4 && ok(compareJSON(v, operand))
		})
	}
	switch op {
	case "", "eq":
		return anyValue(is(operand))
	case "ne":
		return !anyValue(is(operand))
	case "in":
		return in()
	case "nin":
		return !in()
	case "lt":
		return ranged(func(c int) bool { return c < 0 })
	case "lte":
		return ranged(func(c int) bool { return c <= 0 })
	case "gt":
		return ranged(func(c int) bool { return c > 0 })
	case "gte":
		return ranged(func(c int) bool { return c >= 0 })
	case "between":
		lo, hi := operand.([]any)[0], operand.([]any)[1]
		return anyValue(func(v any) bool {
			return rank(v) == rank(lo) && compareJSON(v, lo) >= 0 && rank(v) == rank(hi) && compareJSON(v, hi) <= 0
		})
	case "exists":
		return present == operand.(bool)
	case "prefix":
		return anyValue(func(v any) bool { s, ok := v.(string); return ok && strings.HasPrefix(s, operand.(string)) })
	case "contains":
		return anyValue(func(v any) bool {
			if s, ok := v.(string); ok {
				o, ok := operand.(string)
				return ok && strings.Contains(s, o)
			}
			return is(operand)(v)
		})
	case "geo_box":
		b := operand.(map[string]any)
		return anyValue(func(v any) bool {
			lat, lon, ok := point(v)
			return ok && lat >= b["min_lat"].(float64) && lat <= b["max_lat"].(float64) &&
				lon >= b["min_lon"].(float64) && lon <= b["max_lon"].(float64)
		})
	case "geo_radius":
		c := operand.(map[string]any)
		return anyValue(func(v any) bool {
			lat, lon, ok := point(v)
			return ok && haversine(lat, lon, c["lat"].(float64), c["lon"].(float64)) <= c["radius_m"].(float64)
		})
	}
	panic("unknown operator " + op)
}

func point(v any) (lat, lon float64, ok bool) {
	o, ok := v.(map[string]any)
	if !ok {
		return 0, 0, false
	}
	lat, okLat := o["lat"].(float64)
	lon, okLon := o["lon"].(float64)
	return lat, lon, okLat && okLon
}

// haversine is the great-circle distance in metres on a sphere of the Earth's
// mean radius.
func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	const earthRadius = 6371008.8
	rad := math.Pi / 180
	dLat, dLon := (lat2-lat1)*rad, (lon2-lon1)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * earthRadius * math.Asin(math.Min(1, math.Sqrt(h)))
}

// RandomDoc makes a document over the columns that RandomFilter asks about:
// "a" of mixed types, arrays among them, "b" a number, "s" a short string,
// "n.x" nested, "loc" a point.
func RandomDoc(r *rand.Rand) map[string]any {
	doc := map[string]any{}
	if r.IntN(10) > 0 {
		doc["a"] = randomValue(r, true)
	}
	if r.IntN(10) > 0 {
		doc["b"] = float64(r.IntN(100)) / 2
	}
	if r.IntN(10) > 0 {
		doc["s"] = randomString(r)
	}
	if r.IntN(5) > 0 {
		doc["n"] = map[string]any{"x": randomValue(r, false)}
	}
	if r.IntN(5) > 0 {
		doc["loc"] = map[string]any{"lat": float64(r.IntN(41)) - 20, "lon": float64(r.IntN(41)) - 20}
	}
	return doc
}

func randomString(r *rand.Rand) string {
	return []string{"", "a", "ab", "abc", "b", "ba", "é", "x\u0000y", "zz"}[r.IntN(9)]
}

func randomValue(r *rand.Rand, arrays bool) any {
	switch n := r.IntN(12); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n < 6:
		return float64(r.IntN(21)-10) / 2
	case n < 9:
		return randomString(r)
	case n == 9:
		return map[string]any{"o": 1.0}
	case arrays:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, false)
		}
		return list
	}
	return float64(r.IntN(5))
}

func randomScalar(r *rand.Rand) any {
	for {
		if v := randomValue(r, false); rank(v) < 4 {
			return v
		}
	}
}

// RandomFilter makes a filter of at most the given depth.
func RandomFilter(r *rand.Rand, depth int) Filter {
	if depth > 0 && r.IntN(2) == 0 {
		switch r.IntN(5) {
		case 0, 1:
			return Filter{"and": randomFilters(r, depth)}
		case 2, 3:
			return Filter{"or": randomFilters(r, depth)}
		default:
			return Filter{"not": RandomFilter(r, depth-1)}
		}
	}
	return randomLeaf(r)
}

func randomFilters(r *rand.Rand, depth int) []any {
	list := make([]any, 1+r.IntN(3))
	for i := range list {
		list[i] = RandomFilter(r, depth-1)
	}
	return list
}

func randomLeaf(r *rand.Rand) Filter {
	column := []string{"a", "a", "b", "s", "n.x", "missing"}[r.IntN(6)]
	f := Filter{"column": column}
	switch op := []string{"eq", "eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "between", "exists", "prefix", "contains", "geo_box", "geo_radius"}[r.IntN(15)]; op {
	case "in", "nin":
		list := make([]any, 1+r.IntN(3))
		for i := range list {
			list[i] = randomScalar(r)
		}
		f["op"], f["value"] = op, list
	case "lt", "lte", "gt", "gte":
		f["op"] = op
		if r.IntN(2) == 0 {
			f["value"] = float64(r.IntN(40)) / 2
		} else {
			f["value"] = randomString(r)
		}
	case "between":
		lo := float64(r.IntN(40)) / 2
		f["op"], f["value"] = op, []any{lo, lo + float64(r.IntN(20))}
	case "exists":
		f["op"], f["value"] = op, r.IntN(2) == 0
	case "prefix":
		f["op"], f["value"] = op, randomString(r)
	case "contains":
		f["op"], f["value"] = op, randomScalar(r)
	case "geo_box":
		lat, lon := float64(r.IntN(40)-20), float64(r.IntN(40)-20)
		f["column"], f["op"] = "loc", op
		f["value"] = map[string]any{"min_lat": lat - 0.5, "max_lat": lat + float64(r.IntN(10)) + 0.5, "min_lon": lon - 0.5, "max_lon": lon + float64(r.IntN(10)) + 0.5}
	case "geo_radius":
		f["column"], f["op"] = "loc", op
		f["value"] = map[string]any{"lat": float64(r.IntN(40) - 20), "lon": float64(r.IntN(40) - 20), "radius_m": float64(1+r.IntN(20))*100_000 + 0.5}
	default:
		f["op"], f["value"] = op, randomScalar(r)
	}
	return f
}

// String is the filter as JSON, for messages and requests.
func (f Filter) String() string { return string(JSON(map[string]any(f))) }
