package upkeep

import "github.com/vendbox/vendbox/internal/dbq"

// NewRescuer makes a rescuer that runs when it is told to.
var NewRescuer = newRescuer

// What a roster counts.
const (
	LooksUnknown = looksUnknown
	LooksLate    = looksLate
	LooksKept    = looksKept
)

// Running is an attempt as the database shows it.
type Running = dbq.UpkeepOwnRunningRow

// Look compares the roster with the database.
func (r *Roster) Look(running ...Running) []Running { return r.unheardOf(running) }

// Known counts the attempts that the roster has not forgotten.
func (r *Roster) Known() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known)
}
