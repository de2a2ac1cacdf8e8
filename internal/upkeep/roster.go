package upkeep

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/vendbox/vendbox/internal/dbq"
)

// Looks are at least rescueEvery apart, and only those that the database answered count.
const (
	// looksUnknown is how many looks in a row show a running attempt that nobody here has heard of before it is given
	// back. Once is not enough: River fails a job of unknown kind, or of a row that it cannot decode, without asking its
	// middleware, and that result may be on its way.
	looksUnknown = 2
	// looksLate is the same for an attempt that was worked here. River's completer keeps a result in memory and tries for
	// as long as the process lives, in rounds of up to 37 s (withRetries in its job_completer.go: 3 × 10 s, and 7 s of
	// pauses). A row that is running for longer than such a round, in a database that answers, has lost its result:
	// a failover to a standby that had not seen it takes it back.
	looksLate = 30
	// looksKept is for how many looks an attempt that has ended stays known: together they are longer than lostAfter, so
	// that the last one shows every row whose result is not written yet.
	looksKept = 5
)

// Roster knows the attempts that a River client has heard of: those at work, and those whose result River may still have
// to write. What the database takes for running and the roster does not know was fetched by a statement whose answer got
// lost. It is one client's: its Middleware goes into the river.Config, the Roster to the RescuerConfig of the same
// process, and the Rescuer is what makes it forget.
type Roster struct {
	mu    sync.Mutex
	known map[attempt]ended
	look  int             // counts the looks
	seen  map[attempt]int // by the last look: in how many in a row, not at work
}

// attempt is one fetch of a job. The number of the attempt does not tell fetches apart: River takes it back when a job is
// snoozed or interrupted. The time is the database's, in microseconds.
type attempt struct {
	job int64
	at  int64
}

// ended is the number of looks there were before an attempt ended, or atWork.
type ended int

const atWork ended = -1

// NewRoster makes a roster of nobody.
func NewRoster() *Roster { return &Roster{known: map[attempt]ended{}} }

// Middleware keeps the roster. River calls it for every job that it works, in a goroutine which it starts with the
// fetch's answer, and writes the job's result some time after it has returned. It is not called for jobs of unknown kind
// and for rows that cannot be decoded, whose attempts fail at once.
func (r *Roster) Middleware() rivertype.Middleware { return &rosterMiddleware{roster: r} }

type rosterMiddleware struct {
	river.MiddlewareDefaults

	roster *Roster
}

var _ rivertype.WorkerMiddleware = (*rosterMiddleware)(nil)

// Work has the attempt on the roster while it is worked, however that ends.
func (m *rosterMiddleware) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	if job.AttemptedAt == nil {
		return doInner(ctx) // not fetched, so not running in the database's eyes
	}
	a := attemptOf(job.ID, *job.AttemptedAt)
	m.roster.begin(a)
	defer m.roster.end(a)
	return doInner(ctx)
}

func attemptOf(job int64, at time.Time) attempt { return attempt{job: job, at: at.UnixMicro()} }

func (r *Roster) begin(a attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[a] = atWork
}

func (r *Roster) end(a attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[a] = ended(r.look)
}

// unheardOf takes all the attempts that the database shows as running here for longer than lostAfter, read just now, and
// returns those that are not.
func (r *Roster) unheardOf(running []dbq.UpkeepOwnRunningRow) []dbq.UpkeepOwnRunningRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look++
	var lost []dbq.UpkeepOwnRunningRow
	seen := map[attempt]int{}
	for _, row := range running {
		a := attemptOf(row.ID, row.AttemptedAt)
		end, known := r.known[a]
		if known && end == atWork {
			continue
		}
		seen[a] = r.seen[a] + 1
		if !known && seen[a] >= looksUnknown || seen[a] >= looksLate {
			lost = append(lost, row)
		}
	}
	r.seen = seen
	r.forget()
	return lost
}

// forget drops what ended long ago and is not running any more.
func (r *Roster) forget() {
	for a, end := range r.known {
		if end != atWork && r.look-int(end) > looksKept && r.seen[a] == 0 {
			delete(r.known, a)
		}
	}
}
