package feed

// Quarantined is how many records came signed and could not be used, for
// metrics. What they were about is denied meanwhile.
func (r *Replica) Quarantined() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.writer.denied)
}
