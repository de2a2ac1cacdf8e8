package relay

// Waiting counts the events in memory that wait for the fast path.
func Waiting(r *Relay) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

// SetPages makes safety jobs read pages of a size and let others have their place after some of them. Call it before
// they run.
func SetPages(r *Relay, size, pages int) { r.pageSize, r.pages = size, pages }
