package feed

// NameBytes is how much the arena of names holds.
func NameBytes(r *Replica) int { return len(r.now.Load().names.blocks) * nameBlock }
