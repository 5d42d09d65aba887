package schema

import (
	"encoding/binary"

	"github.com/golang/geo/s2"

	"github.com/vccdb/vccdb/internal/errs"
)

// GeoPoint is a place on Earth in degrees: Lat in [-90, 90], Lon in [-180, 180].
type GeoPoint struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// ParseGeo reads a point: {"lat": 52.5, "lon": 13.4}, the GeoJSON
// {"type": "Point", "coordinates": [13.4, 52.5]} (RFC 7946), or [13.4, 52.5],
// which like GeoJSON has the longitude first. A third coordinate, the altitude,
// is left out.
func ParseGeo(raw []byte) (GeoPoint, error) {
	text, err := compact(raw)
	if err != nil {
		return GeoPoint{}, err
	}
	p, ok := point(text)
	if !ok {
		return GeoPoint{}, errs.Field("invalid_geo", "",
			`a point is {"lat": .., "lon": ..}, a GeoJSON Point or [lon, lat], with lat in -90..90 and lon in -180..180`)
	}
	return p, nil
}

// LatLng is the point as S2 has it.
func (p GeoPoint) LatLng() s2.LatLng { return s2.LatLngFromDegrees(p.Lat, p.Lon) }

// AppendTerm appends the point's index term: the id of its S2 leaf cell (about
// a square centimetre), 8 bytes big-endian. The leaf cells of a larger cell are
// a range of terms.
func (p GeoPoint) AppendTerm(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(s2.CellIDFromLatLng(p.LatLng())))
}

func (p GeoPoint) valid() bool {
	return -90 <= p.Lat && p.Lat <= 90 && -180 <= p.Lon && p.Lon <= 180
}

// point reads one point from valid JSON.
func point(raw []byte) (GeoPoint, bool) {
	if len(raw) == 0 {
		return GeoPoint{}, false
	}
	switch raw[0] {
	case '[':
		return pointFromArray(raw)
	case '{':
		return pointFromObject(raw)
	}
	return GeoPoint{}, false
}

func pointFromArray(raw []byte) (GeoPoint, bool) {
	c := cursor{text: raw}
	var at [3]float64
	n := 0
	for ok := c.element(true); ok; ok = c.element(false) {
		v := coordinate(c.value())
		if n == len(at) || v.kind != KindNumber {
			return GeoPoint{}, false
		}
		at[n] = v.Float()
		n++
	}
	p := GeoPoint{Lat: at[1], Lon: at[0]}
	return p, n >= 2 && !c.bad && p.valid()
}

func pointFromObject(raw []byte) (GeoPoint, bool) {
	c := cursor{text: raw}
	var lat, lon, kind Value
	var coordinates []byte
	for name := c.member(true); name != nil; name = c.member(false) {
		value := c.value()
		switch string(name) {
		case `"lat"`:
			lat = coordinate(value)
		case `"lon"`:
			lon = coordinate(value)
		case `"type"`:
			kind = coordinate(value)
		case `"coordinates"`:
			coordinates = value
		}
	}
	if kind == StringOf("Point") && len(coordinates) > 0 && coordinates[0] == '[' {
		return pointFromArray(coordinates)
	}
	p := GeoPoint{Lat: lat.Float(), Lon: lon.Float()}
	return p, lat.kind == KindNumber && lon.kind == KindNumber && !c.bad && p.valid()
}

func coordinate(raw []byte) Value {
	if len(raw) == 0 || raw[0] == '[' {
		return Object()
	}
	return scalar(raw)
}

// appendPoints adds the point in raw, or those in the array of points that raw is.
func appendPoints(dst []GeoPoint, raw []byte) []GeoPoint {
	if p, ok := point(raw); ok {
		return append(dst, p)
	}
	if len(raw) == 0 || raw[0] != '[' {
		return dst
	}
	c := cursor{text: raw}
	for ok := c.element(true); ok; ok = c.element(false) {
		if p, ok := point(c.value()); ok {
			dst = append(dst, p)
		}
	}
	return dst
}
