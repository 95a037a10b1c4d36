package inflate

import "sync"

// chunkLength is the unit of the memory for decoded data, in bytes.
const chunkLength = 64 << 10

type chunk [chunkLength]byte

// chunks are all that is free. Chunks are outside of Go's heap, as that grows to twice what is live: a cache that is full would take its
// limit once more. They stay mapped for ever, so that nothing can go wrong by giving them back.
var chunks freeChunks

// freeChunks are chunks with any content that nobody uses.
type freeChunks struct {
	mu   sync.Mutex
	warm []*chunk // these take memory
	cold []*chunk // these do not
}

// maxWarm is how many free chunks keep their memory, which what is decoded next needs again.
const maxWarm = 128

func (f *freeChunks) get() *chunk {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range []*[]*chunk{&f.warm, &f.cold} {
		if last := len(*list) - 1; last >= 0 {
			c := (*list)[last]
			*list = (*list)[:last]
			return c
		}
	}
	return newChunk()
}

func (f *freeChunks) put(c *chunk) {
	if f.putWarm(c) {
		return
	}
	c.empty() // which may take its time
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cold = append(f.cold, c)
}

// putWarm takes a chunk if there are few that keep their memory.
func (f *freeChunks) putWarm(c *chunk) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.warm) >= maxWarm {
		return false
	}
	f.warm = append(f.warm, c)
	return true
}
