package search

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
)

// groups colours values: the most frequent ones get a colour each and the others
// share one, but many different numbers are cut into ranges of the same size. A
// value is nil where there is none. The names are in the order of the colours.
func groups(values []jsontext.Value) (names []string, of []int) {
	if bounds := ranges(values); bounds != nil {
		return byRange(values, bounds)
	}
	type kind struct {
		text  string
		count int
	}
	var kinds []*kind
	byText := map[string]*kind{}
	for _, v := range values {
		text := groupText(v)
		k := byText[text]
		if k == nil {
			k = &kind{text: text}
			kinds, byText[text] = append(kinds, k), k
		}
		k.count++
	}
	slices.SortFunc(kinds, func(a, b *kind) int { return cmp.Or(-cmp.Compare(a.count, b.count), cmp.Compare(a.text, b.text)) })
	own := len(kinds)
	if own > components.MaxGroups {
		own = components.MaxGroups - 1
	}
	colour := map[string]int{}
	for i, k := range kinds[:own] {
		colour[k.text] = i
		names = append(names, k.text+" ("+format.Count(k.count)+")")
	}
	if own < len(kinds) {
		names = append(names, format.Plural(len(kinds)-own, "other value", "other values"))
	}
	for _, v := range values {
		i, ok := colour[groupText(v)]
		if !ok {
			i = own
		}
		of = append(of, i)
	}
	return names, of
}

func groupText(v jsontext.Value) string {
	cell := components.CellOf(v)
	if cell.Text == "" && v == nil {
		return "(none)"
	}
	return cell.Text
}

// ranges are the upper bounds of the ranges that numbers are cut into; nil if
// the values aren't numbers, or so few different ones that each can have a colour.
func ranges(values []jsontext.Value) []float64 {
	var numbers []float64
	for _, v := range values {
		if v == nil {
			continue
		}
		x, err := strconv.ParseFloat(string(v), 64)
		if v.Kind() != '0' || err != nil {
			return nil
		}
		numbers = append(numbers, x)
	}
	slices.Sort(numbers)
	if len(slices.Compact(slices.Clone(numbers))) <= components.MaxGroups {
		return nil
	}
	const parts = components.MaxGroups - 1
	var bounds []float64
	for i := 1; i <= parts; i++ {
		bound := numbers[i*len(numbers)/parts-1]
		if len(bounds) == 0 || bound > bounds[len(bounds)-1] {
			bounds = append(bounds, bound)
		}
	}
	return bounds
}

func byRange(values []jsontext.Value, bounds []float64) (names []string, of []int) {
	lowest := make([]float64, len(bounds))
	seen := make([]bool, len(bounds))
	none := false
	for _, v := range values {
		if v == nil {
			of, none = append(of, len(bounds)), true
			continue
		}
		x, _ := strconv.ParseFloat(string(v), 64) // ranges has read it
		i, _ := slices.BinarySearch(bounds, x)
		if !seen[i] || x < lowest[i] {
			lowest[i], seen[i] = x, true
		}
		of = append(of, i)
	}
	for i, bound := range bounds {
		if lowest[i] == bound {
			names = append(names, number10(bound))
		} else {
			names = append(names, number10(lowest[i])+" to "+number10(bound))
		}
	}
	if none {
		names = append(names, "(none)")
	}
	return names, of
}

func number10(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
