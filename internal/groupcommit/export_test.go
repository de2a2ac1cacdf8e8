package groupcommit

// Queued counts the calls that wait for a batch.
func Queued[P, R any](g *Group[P, R]) int {
	n := 0
	for _, s := range g.shards {
		n += s.length()
	}
	return n
}

// Suspects counts the calls that wait to be sifted.
func Suspects[P, R any](g *Group[P, R]) int { return g.suspects.length() }

func (s *shard[P, R]) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}
