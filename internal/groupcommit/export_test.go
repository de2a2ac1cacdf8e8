package groupcommit

// Queued counts the calls that wait for a batch.
func Queued[P, R any](g *Group[P, R]) int {
	n := 0
	for _, s := range g.shards {
		s.mu.Lock()
		n += len(s.queue)
		s.mu.Unlock()
	}
	return n
}

// UnderLoad is the size from which a batch is followed by a pause.
const UnderLoad = underLoad
