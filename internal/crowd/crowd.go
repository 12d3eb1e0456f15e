// Package crowd bounds how much of something goes on at once, for each of many
// and in all: where nothing is queued, and who comes too many is told to come
// again.
package crowd

import "sync"

// Crowd counts who is at it. It is safe for concurrent use.
type Crowd[K comparable] struct {
	each, all int

	mu sync.Mutex
	by map[K]int
	n  int
}

// New makes a Crowd of at most all, and at most each for one K.
func New[K comparable](each, all int) *Crowd[K] {
	return &Crowd[K]{each: each, all: all, by: map[K]int{}}
}

// Enter reports whether there is room. Whoever entered leaves.
func (c *Crowd[K]) Enter(k K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n >= c.all || c.by[k] >= c.each {
		return false
	}
	c.n++
	c.by[k]++
	return true
}

// Leave makes room.
func (c *Crowd[K]) Leave(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.by[k]--; c.by[k] == 0 {
		delete(c.by, k)
	}
}
