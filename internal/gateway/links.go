package gateway

import (
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// links holds one link for each upstream in use.
type links struct {
	mu   sync.RWMutex
	byID map[gatehouse.ID]*link
}

func newLinks() *links { return &links{byID: map[gatehouse.ID]*link{}} }

// get returns the link for up as its record stands. A record that changed, in
// whatever field, gets a new link: an old connection may have another address,
// other roots or another credential behind it.
func (s *links) get(up *gatehouse.Upstream) (*link, error) {
	s.mu.RLock()
	l := s.byID[up.ID]
	s.mu.RUnlock()
	if l != nil && (l.up == up || l.up.Revision == up.Revision) {
		return l, nil
	}
	if l != nil && up.Revision.Less(l.up.Revision) {
		// A request that was admitted before the change. It gets its own link
		// rather than take the new one away from everybody else.
		if l, err := newLink(up); err == nil {
			l.closed = true // keeps no connection, since nobody would close it
			return l, nil
		}
	}
	return s.replace(up)
}

func (s *links) replace(up *gatehouse.Upstream) (*link, error) {
	fresh, err := newLink(up)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	old := s.byID[up.ID]
	if old != nil && !old.up.Revision.Less(up.Revision) {
		s.mu.Unlock()
		return old, nil // somebody else was first
	}
	s.byID[up.ID] = fresh
	s.mu.Unlock()
	if old != nil {
		old.retire()
	}
	return fresh, nil
}

// sweep closes what rested too long, and the links of upstreams that are gone.
func (s *links) sweep(now time.Time, cat *feed.Catalogue) {
	s.mu.Lock()
	var gone, stay []*link
	for id, l := range s.byID {
		if _, ok := cat.Upstream(id); !ok {
			gone = append(gone, l)
			delete(s.byID, id)
			continue
		}
		stay = append(stay, l)
	}
	s.mu.Unlock()
	for _, l := range gone {
		l.retire()
	}
	for _, l := range stay {
		l.sweep(now)
	}
}

func (s *links) close() {
	s.mu.Lock()
	all := s.byID
	s.byID = map[gatehouse.ID]*link{}
	s.mu.Unlock()
	for _, l := range all {
		l.retire()
	}
}
