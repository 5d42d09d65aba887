package query

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// EarthRadiusM is the mean radius of the Earth (IUGG) in metres.
const EarthRadiusM = 6_371_008.8

// Circle is the points at most RadiusM metres from a centre, along great circles.
type Circle struct {
	Lat     float64 `json:"lat"`
	Lon     float64 `json:"lon"`
	RadiusM float64 `json:"radius_m"`
}

// Box is the points between two parallels and two meridians, edges included. A
// box whose MinLon is greater than its MaxLon goes across the antimeridian.
type Box struct {
	MinLat float64 `json:"min_lat"`
	MinLon float64 `json:"min_lon"`
	MaxLat float64 `json:"max_lat"`
	MaxLon float64 `json:"max_lon"`
}

// Contains says whether the point is in the circle.
func (c *Circle) Contains(p schema.GeoPoint) bool {
	centre := s2.LatLngFromDegrees(c.Lat, c.Lon)
	return centre.Distance(p.LatLng()).Radians()*EarthRadiusM <= c.RadiusM
}

// Contains says whether the point is in the box.
func (b *Box) Contains(p schema.GeoPoint) bool {
	if p.Lat < b.MinLat || p.Lat > b.MaxLat {
		return false
	}
	// 180 and -180 are one meridian.
	return b.spans(p.Lon) || math.Abs(p.Lon) == 180 && b.spans(-p.Lon)
}

func (b *Box) spans(lon float64) bool {
	if b.MinLon <= b.MaxLon {
		return b.MinLon <= lon && lon <= b.MaxLon
	}
	return lon >= b.MinLon || lon <= b.MaxLon
}

func (p *Predicate) setCircle(at string, value jsontext.Value) error {
	var c struct {
		Lat     *float64 `json:"lat"`
		Lon     *float64 `json:"lon"`
		RadiusM *float64 `json:"radius_m"`
	}
	if err := decodeOperand(at, value, &c); err != nil {
		return err
	}
	if c.Lat == nil || c.Lon == nil || c.RadiusM == nil {
		return errs.Field("invalid_filter", at, "geo_radius takes {lat, lon, radius_m}")
	}
	if *c.RadiusM < 0 {
		return errs.Field("invalid_filter", at+"/radius_m", "radius_m must not be negative")
	}
	p.Circle = &Circle{Lat: *c.Lat, Lon: *c.Lon, RadiusM: *c.RadiusM}
	return checkPoint(at, p.Circle.Lat, p.Circle.Lon)
}

func (p *Predicate) setBox(at string, value jsontext.Value) error {
	var b struct {
		MinLat      *float64       `json:"min_lat"`
		MinLon      *float64       `json:"min_lon"`
		MaxLat      *float64       `json:"max_lat"`
		MaxLon      *float64       `json:"max_lon"`
		TopLeft     jsontext.Value `json:"top_left"`
		BottomRight jsontext.Value `json:"bottom_right"`
	}
	if err := decodeOperand(at, value, &b); err != nil {
		return err
	}
	edges := b.MinLat != nil && b.MinLon != nil && b.MaxLat != nil && b.MaxLon != nil
	noEdges := b.MinLat == nil && b.MinLon == nil && b.MaxLat == nil && b.MaxLon == nil
	switch {
	case edges && b.TopLeft == nil && b.BottomRight == nil:
		p.Box = &Box{MinLat: *b.MinLat, MinLon: *b.MinLon, MaxLat: *b.MaxLat, MaxLon: *b.MaxLon}
	case noEdges && b.TopLeft != nil && b.BottomRight != nil:
		topLeft, err := schema.ParseGeo(b.TopLeft)
		if err != nil {
			return errs.Field("invalid_filter", at+"/top_left", "%v", err)
		}
		bottomRight, err := schema.ParseGeo(b.BottomRight)
		if err != nil {
			return errs.Field("invalid_filter", at+"/bottom_right", "%v", err)
		}
		p.Box = &Box{MinLat: bottomRight.Lat, MinLon: topLeft.Lon, MaxLat: topLeft.Lat, MaxLon: bottomRight.Lon}
	default:
		return errs.Field("invalid_filter", at, "geo_box takes {top_left, bottom_right} or {min_lat, min_lon, max_lat, max_lon}")
	}
	if p.Box.MinLat > p.Box.MaxLat {
		return errs.Field("invalid_filter", at, "the box is upside down: its lower latitude %v is above its upper %v", p.Box.MinLat, p.Box.MaxLat)
	}
	if err := checkPoint(at, p.Box.MinLat, p.Box.MinLon); err != nil {
		return err
	}
	return checkPoint(at, p.Box.MaxLat, p.Box.MaxLon)
}

func decodeOperand(at string, value jsontext.Value, into any) error {
	err := json.Unmarshal(value, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		at += string(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return errs.Field("invalid_filter", at, "unknown field")
		}
	}
	return errs.Field("invalid_filter", at, "the value has the wrong type or is out of range")
}

func checkPoint(at string, lat, lon float64) error {
	if lat < -90 || lat > 90 || lon < -180 || lon > 180 {
		return errs.Field("invalid_filter", at, "lat must be in -90..90 and lon in -180..180")
	}
	return nil
}

// Coverings may be larger than the region, since every candidate is checked
// again, but not smaller: the margins are far above S2's rounding.
const (
	coveringCells = 16
	marginM       = 1.0
	marginRadians = 1e-7
)

// covering is term ranges (leaf cell ids, see GeoPoint.AppendTerm) that include
// every point of the predicate's region.
func (p *Predicate) covering() []Range {
	coverer := s2.RegionCoverer{MaxLevel: s2.MaxLevel, MaxCells: coveringCells}
	var cells s2.CellUnion
	if p.Op == GeoRadius {
		cells = coverer.Covering(p.Circle.region())
	} else {
		cells = coverer.Covering(p.Box.region())
	}
	cells.Normalize()
	ranges := make([]Range, 0, len(cells))
	for _, cell := range cells {
		ranges = append(ranges, Range{
			Lo: binary.BigEndian.AppendUint64(nil, uint64(cell.RangeMin())),
			// Leaf ids are odd, so this is where the next cell begins.
			Hi: binary.BigEndian.AppendUint64(nil, uint64(cell.RangeMax())+2),
		})
	}
	return mergeRanges(ranges)
}

func (c *Circle) region() s2.Region {
	angle := min(math.Pi, (c.RadiusM+marginM)/EarthRadiusM)
	return s2.CapFromCenterAngle(s2.PointFromLatLng(s2.LatLngFromDegrees(c.Lat, c.Lon)), s1.Angle(angle))
}

func (b *Box) region() s2.Region {
	const radians = math.Pi / 180
	lat := r1.Interval{Lo: b.MinLat * radians, Hi: b.MaxLat * radians}.Expanded(marginRadians)
	minLon, maxLon := b.MinLon, b.MaxLon
	if maxLon == -180 { // as the end of an interval, S2 wants it to be 180
		maxLon = 180
		if minLon == -180 {
			minLon = 180
		}
	}
	lng := s1.IntervalFromEndpoints(minLon*radians, maxLon*radians).Expanded(marginRadians)
	return s2.Rect{Lat: lat.Intersection(r1.Interval{Lo: -math.Pi / 2, Hi: math.Pi / 2}), Lng: lng}
}
