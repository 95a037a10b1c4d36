package history

import "math"

// ring has the last values of each series, each the mean over a slot of time. Slots are numbered from the first sample on.
type ring struct {
	step   int64 // seconds of a slot
	length int64 // slots

	columns [seriesCount][]float32 // slot n is at n % length; NaN where there is nothing
	slot    int64                  // the last one, -1 before the first sample

	// Of the last slot, which is not over: what its means are of.
	sums   [seriesCount]float64
	counts [seriesCount]int
}

func newRing(step, length int64) *ring {
	r := &ring{step: step, length: length, slot: -1}
	for i := range r.columns {
		r.columns[i] = make([]float32, length)
	}
	return r
}

func (r *ring) empty() bool { return r.slot < 0 }

// first is the oldest slot that there still is.
func (r *ring) first() int64 { return max(0, r.slot+1-r.length) }

// add adds the values of a second, which is none before those of the last call. NaN is no value.
func (r *ring) add(second int64, values *[seriesCount]float64) {
	if slot := second / r.step; slot > r.slot {
		r.clear(max(r.slot+1, slot+1-r.length), slot)
		r.slot = slot
		r.sums, r.counts = [seriesCount]float64{}, [seriesCount]int{}
	}
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		r.sums[i] += v
		r.counts[i]++
		r.columns[i][r.slot%r.length] = float32(r.sums[i] / float64(r.counts[i]))
	}
}

// clear makes gaps of slots, of which there are no more than length.
func (r *ring) clear(from, to int64) {
	for i := range r.columns {
		for slot := from; slot <= to; slot++ {
			r.columns[i][slot%r.length] = float32(math.NaN())
		}
	}
}

// means returns the values of a series in the slots from … to-1, each group of them as their mean. What is no more is NaN.
func (r *ring) means(series int, from, to, group int64) []float32 {
	list := make([]float32, 0, (to-from+group-1)/group)
	for ; from < to; from += group {
		sum, n := 0.0, 0
		for slot := max(from, r.first()); slot < min(from+group, to); slot++ {
			if v := float64(r.columns[series][slot%r.length]); !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		list = append(list, float32(sum/float64(n))) // 0/0 is NaN
	}
	return list
}
