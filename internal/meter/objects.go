package meter

import "sync"

// objectMap remembers objects until they are acknowledged, and the newest
// maxObjects after that: the store is asked for older ones.
type objectMap struct {
	mu    sync.RWMutex
	byID  map[string]Object
	acked []string // oldest first
}

func (m *objectMap) init() { m.byID = map[string]Object{} }

func (m *objectMap) get(id string) (Object, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, ok := m.byID[id]
	return o, ok
}

func (m *objectMap) add(o Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID[o.ID] = o
}

// ack notes that the store has objects.
func (m *objectMap) ack(objects []Object) {
	if len(objects) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		m.acked = append(m.acked, o.ID)
	}
	for len(m.acked) > maxObjects {
		delete(m.byID, m.acked[0])
		m.acked = m.acked[1:]
	}
}
