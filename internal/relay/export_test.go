package relay

// Waiting counts the events in memory that wait for the fast path.
func Waiting(r *Relay) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}
