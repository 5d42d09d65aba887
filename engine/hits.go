package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/vccdb/vccdb/internal/invariants"
	"github.com/vccdb/vccdb/storage"
	"github.com/vccdb/vccdb/vecindex"
)

// foundHit is a hit with the id that breaks ties.
type foundHit struct {
	SearchHit
	id uint32
}

func (s *vectorSearch) found(h vecindex.Hit, pk string) foundHit {
	return foundHit{id: h.ID, SearchHit: SearchHit{
		Key: Key{s.t.name, pk}, Distance: h.Distance, Score: s.ix.vector.metric.Score(h.Distance),
	}}
}

func (s *vectorSearch) tooFar(distance float32) bool {
	return s.req.MaxDistance != nil && distance > *s.req.MaxDistance
}

// wanted says whether a hit belongs on this page at all.
func (s *vectorSearch) wanted(h vecindex.Hit) bool {
	if int64(h.ID) == s.self || s.tooFar(h.Distance) {
		return false
	}
	return s.after.Seen == 0 || h.Distance > s.after.Distance || h.Distance == s.after.Distance && h.ID > s.after.ID
}

// useOwners finds out whether the answer needs of an entity no more than its key, so
// that storage needn't be asked for those that are known: the index alone says what
// is alive, and which vector it has. It is called before the index is asked.
//
// What a filter let through is of one state, and by now the id may be another
// entity's. But the index has gone through all that happened before that state, and
// so a vector that it still has, and that was seen no later, is the one of that state,
// and its owner is the entity that the filter has judged. Nothing of it has expired
// either. Without a filter it is for the entities to say what has expired.
func (s *vectorSearch) useOwners(ctx context.Context) {
	switch {
	case s.req.Return != ReturnKeys:
	case s.filter != nil:
		s.ownersUpTo, s.ownersKnown = s.filter.settled(ctx)
	case len(s.shape.schema.ttl) == 0:
		s.ownersUpTo, s.ownersKnown = math.MaxUint64, true
	}
}

// resolve turns index hits into entities, nearest first. Hits whose entity is gone
// or has expired are dropped; one whose vector is another by now gets the distance
// of that.
func (s *vectorSearch) resolve(hits []vecindex.Hit, vector []float32, plan *SearchPlan) ([]foundHit, error) {
	found := make([]foundHit, 0, len(hits))
	unknown := make([]vecindex.Hit, 0, len(hits))
	for _, h := range hits {
		if !s.wanted(h) {
			continue
		}
		if s.ownersKnown {
			if pk, ok := s.e.owners.pk(h, s.ownersUpTo); ok {
				found = append(found, s.found(h, pk))
				continue
			}
		}
		unknown = append(unknown, h)
	}
	present, err := s.read(unknown, vector)
	if err != nil {
		return nil, err
	}
	plan.StaleDropped += len(unknown) - len(present)
	found = append(found, present...)
	slices.SortStableFunc(found, func(a, b foundHit) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.id, b.id))
	})
	if invariants.Enabled {
		for i := 1; i < len(found); i++ {
			invariants.Check(found[i].id != found[i-1].id, "the id %d is twice among the hits of %s", found[i].id, s.ix.subject())
		}
	}
	return found, nil
}

// read returns the hits that are there in the snapshot, as it has them.
func (s *vectorSearch) read(hits []vecindex.Hit, vector []float32) ([]foundHit, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	ids := make([]uint32, len(hits))
	for i, h := range hits {
		ids[i] = h.ID
	}
	at, err := s.snapshot().Seq()
	if err != nil {
		return nil, err
	}
	found := make([]foundHit, len(hits)) // without a key where there is none
	var changed []int
	err = s.snapshot().Entities(s.t.id, ids, func(i int, raw []byte) error {
		if raw == nil {
			return nil
		}
		r, err := decodeRecord(raw)
		if err != nil {
			return err
		}
		if found[i], err = s.present(hits[i], &r); err != nil {
			return err
		}
		if r.stamp != hits[i].Stamp {
			changed = append(changed, i)
		} else {
			s.e.owners.note(hits[i], found[i].Key.PK, at)
		}
		return nil
	})
	if err == nil && len(changed) > 0 {
		err = s.rescore(hits, changed, found, vector, at)
	}
	return slices.DeleteFunc(found, func(f foundHit) bool { return f.Key.PK == "" }), err
}

// present is a hit with the entity that it has in the snapshot, without a key if
// that has expired.
func (s *vectorSearch) present(h vecindex.Hit, r *record) (foundHit, error) {
	expired, err := s.shape.schema.docExpired(r.doc, s.shape.nowMs)
	if err != nil || expired {
		return foundHit{}, err
	}
	hit := s.found(h, string(r.pk))
	if s.req.Return != ReturnKeys {
		hit.Doc, err = s.shape.part.Of(r.doc)
	}
	return hit, err
}

// rescore looks at hits whose entity was written after the vector that was
// scored. Mostly the vector is the same and only other fields changed. state is the
// snapshot's.
func (s *vectorSearch) rescore(hits []vecindex.Hit, changed []int, found []foundHit, vector []float32, state storage.Seq) error {
	ids := make([]uint32, len(changed))
	for i, at := range changed {
		ids[i] = hits[at].ID
	}
	return s.snapshot().Vectors(s.ix.def.ID, ids, func(i int, stamp uint64, raw []byte) error {
		at := changed[i]
		h := hits[at]
		switch {
		case raw == nil || found[at].Key.PK == "":
			found[at] = foundHit{}
		case stamp == h.Stamp:
			s.e.owners.note(h, found[at].Key.PK, state)
		default:
			h.Distance = s.ix.vector.metric.Distance(vector, decodeVector(nil, raw))
			found[at].Distance, found[at].Score = h.Distance, s.ix.vector.metric.Score(h.Distance)
			if !s.wanted(h) {
				found[at] = foundHit{}
			}
		}
		return nil
	})
}
