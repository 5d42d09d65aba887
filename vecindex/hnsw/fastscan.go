package hnsw

import (
	"context"
	"math"
	"math/bits"
	"sync/atomic"

	"github.com/vccdb/vccdb/vecindex"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
	"github.com/vccdb/vccdb/vecindex/quant"
	"github.com/vccdb/vccdb/vecindex/simd"
)

// neighbours has the blocks of vecindex.FastScan: for each node the codes of its links
// on level 0, relative to itself, from which one pass estimates how far all of them
// are from a query. A node's vector never changes, so what a slot of a block says
// depends on the node and the link alone, and a changed link is one slot written anew.
//
// Blocks are written under the node's stripe, before the links, and read without
// locks. A reader may see a slot half written, or with another link than the one it is
// of, and then has a wrong estimate. That is as harmless as an estimate that is off by
// its nature: estimates only say which nodes a walk goes to, and in which order. What
// it has found are nodes it went to, by their own distance.
//
// They lie in an array of their own, beside links and rows. To have all that a hop
// reads in one place gains nothing, as the three are asked for at the same time, two
// hops ahead; and so links are as dense for those who read only links.
type neighbours struct {
	code     *quant.FastScan
	rows     *codeRows
	blocks   *offheap.Array[uint32]
	perBlock int // words
	perNode  int
	// ready says that the blocks of all nodes are written: after a load they are not, and
	// searches walk on the rows until then.
	ready atomic.Bool
}

// newNeighbours makes the blocks of a graph with up to links links a node; nil if its
// index has none.
func newNeighbours(g *offheap.Group, o *Options, r rows, links int) (*neighbours, error) {
	if o.Quantization != vecindex.FastScan {
		return nil, nil
	}
	codes := r.(*codeRows)
	code, err := quant.NewFastScan(codes.codec, o.Kernel)
	if err != nil {
		return nil, err
	}
	n := &neighbours{code: code, rows: codes, perBlock: code.BlockWords()}
	n.perNode = (links + simd.BlockSlots - 1) / simd.BlockSlots * n.perBlock
	n.blocks = offheap.ReserveIn[uint32](g, o.Capacity*n.perNode)
	n.ready.Store(true)
	return n, g.Err()
}

// growLocked makes the blocks of the slots below count usable.
func (n *neighbours) growLocked(count int) error {
	if n == nil {
		return nil
	}
	return n.blocks.Grow(count * n.perNode)
}

// block is the block of a node that has the codes of its links from i on.
func (n *neighbours) block(slot uint32, i int) []uint32 {
	return n.blocks.Slice(int(slot)*n.perNode+i/simd.BlockSlots*n.perBlock, n.perBlock)
}

func (n *neighbours) encode(slot uint32, i int, link uint32) {
	n.code.Encode(n.block(slot, i), i%simd.BlockSlots, n.rows.of(slot), n.rows.of(link))
}

// write makes the codes of a node those of links, which are to replace the ones in row.
// It puts the links that stay in their old places, so that only new ones are encoded.
func (n *neighbours) write(slot uint32, row, links []uint32) {
	for i := range links {
		old := atomic.LoadUint32(&row[i])
		if old == links[i]+1 {
			continue
		}
		for j := i + 1; old != 0 && j < len(links); j++ {
			if links[j]+1 == old {
				links[i], links[j] = links[j], links[i]
				break
			}
		}
		if old != links[i]+1 {
			n.encode(slot, i, links[i])
		}
	}
}

// fillNeighbours writes the blocks of an index that was loaded, of which a checkpoint
// has none: they are many bytes and quickly made.
func (x *Index) fillNeighbours() {
	complete := x.eachNode(func(_ *scratch, slot uint32) {
		stripe := x.graph.stripe(slot)
		stripe.Lock()
		defer stripe.Unlock()
		row := x.graph.row(slot, 0)
		for i := range row {
			link := atomic.LoadUint32(&row[i])
			if link == 0 {
				return
			}
			x.graph.neighbours.encode(slot, i, link-1)
		}
	})
	if complete {
		x.graph.neighbours.ready.Store(true)
	}
}

// underWay is how many nodes a walk on neighbours has chosen at a time: those whose
// memory has been asked for but which are not expanded yet. A walk then goes to a few
// nodes that it would not have chosen later, and waits for none.
const underWay = 3

// hopCost is what a hop of a walk on neighbours counts in distances: 32 estimates and a
// distance, of memory that lies together.
const hopCost = 8

// judging is what a walk on neighbours needs of its own in a scratch.
type judging struct {
	probe   *quant.Probe
	guessed pool             // admitted nodes by their estimated distances
	chosen  [underWay]uint32 // nodes under way, in a ring
	found   [underWay]bool   // which of them are admitted
	first   int              // of the nodes under way
	count   int              // of the nodes under way
}

// walkNeighbours is walk on level 0 where nodes have blocks. Its pool has estimated
// distances; a node is entered by the first estimate that is near enough, and is found
// once the walk has come to it. That is SymphonyQG's search (Gou et al., 2025, section
// 3.1.2) but for two things that measure better here: that one enters a node with each
// estimate it gets, and chooses one node at a time. A search's pool is wider than ef by
// half, since it has some nodes that only look near: an ef then finds as much as it does
// with exact distances. Linkers look far enough as it is.
func (x *Index) walkNeighbours(ctx context.Context, s *scratch, query row, start key, r reach, adm *admission) (complete bool, err error) {
	n, j := x.graph.neighbours, &s.judging
	if j.probe == nil {
		j.probe = n.code.NewProbe()
	}
	n.code.Set(j.probe, query)
	width, keep := r.ef, r.ef
	if !adm.linking {
		width, keep = r.ef+r.ef/2, min(r.ef, r.keep)
	}
	s.visited.reset(x.slots.high.Load())
	s.visited.add(start.slot())
	s.found.reset(keep)
	j.guessed.reset(width)
	s.detours = s.detours[:0]
	j.first, j.count = 0, 0
	x.noteGuess(s, adm, start)
	budget := r.budget - s.stats.Distances
	look := contextEvery
	for spent := 0; ; spent += hopCost {
		for j.count < underWay && x.choose(s, r) {
		}
		switch {
		case j.count == 0:
			return true, nil
		case spent >= budget:
			return false, nil
		case spent >= look:
			if err := ctx.Err(); err != nil {
				return false, err
			}
			look += contextEvery
		}
		x.judge(s, query, r, adm)
	}
}

// choose puts the nearest node that is left under way, if one is worth it.
func (x *Index) choose(s *scratch, r reach) bool {
	j, bound := &s.judging, s.guessBound(r)
	guess, detour := j.guessed.nearestLeft(), s.detours.top()
	at := (j.first + j.count) % underWay
	switch {
	case guess < detour && guess <= bound:
		j.guessed.expand()
		j.chosen[at], j.found[at] = guess.slot(), true
	case detour < bound:
		s.detours.pop()
		j.chosen[at], j.found[at] = detour.slot(), false
	default:
		return false
	}
	j.count++
	x.graph.prefetch(j.chosen[at])
	x.rows.prefetch(j.chosen[at : at+1])
	return true
}

// judge expands the node that was chosen first.
func (x *Index) judge(s *scratch, query row, r reach, adm *admission) {
	j, n := &s.judging, x.graph.neighbours
	node, admitted := j.chosen[j.first], j.found[j.first]
	ahead := j.chosen[(j.first+j.count-1)%underWay]
	distance := x.score(s, query, j.chosen[j.first:j.first+1])[0]
	j.first, j.count = (j.first+1)%underWay, j.count-1
	s.stats.Hops++
	if k := makeKey(distance, node); admitted && k < s.found.bound() {
		s.found.add(k)
	}
	row := x.graph.row(node, 0)
	bound := s.guessBound(r)
	for from := 0; from < len(row); from += simd.BlockSlots {
		links := row[from:min(len(row), from+simd.BlockSlots)]
		below := n.code.Below(j.probe, n.block(node, from), n.block(ahead, from), distance, bound.limit())
		for below &= uint32(1<<len(links) - 1); below != 0; below &= below - 1 {
			i := bits.TrailingZeros32(below)
			link := atomic.LoadUint32(&links[i])
			if link == 0 {
				break
			}
			if k := makeKey(j.probe.Estimates[i], link-1); k < bound && s.visited.add(link-1) {
				x.noteGuess(s, adm, k)
				bound = min(bound, j.guessed.bound())
			}
		}
	}
}

// guessBound is bound for walks on neighbours.
func (s *scratch) guessBound(r reach) key {
	return min(s.judging.guessed.bound(), s.slackBound(r))
}

// noteGuess is note for estimated distances.
func (x *Index) noteGuess(s *scratch, adm *admission, k key) {
	if x.admits(adm, k.slot()) {
		s.judging.guessed.add(k)
	} else {
		s.detours.push(k)
	}
}

// limit is a distance that all keys below k are at or below.
func (k key) limit() float32 {
	if k == farthest {
		return math.MaxFloat32
	}
	return math.Nextafter32(k.distance(), math.MaxFloat32)
}

// add adds a slot and says whether it is new. Slots that the set doesn't hold aren't.
func (v *visited) add(slot uint32) bool {
	w, bit := int(slot>>6), uint64(1)<<(slot&63)
	if w >= len(v.bits) || v.bits[w]&bit != 0 {
		return false
	}
	v.bits[w] |= bit
	v.trail = append(v.trail, slot)
	return true
}
