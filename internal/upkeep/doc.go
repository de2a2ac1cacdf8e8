// Package upkeep is the work that nobody asks for: jobs of killed workers go back to work, the outbox gets its days and
// loses its old ones, and what dead processes left behind is cleaned up.
//
// # Lost workers
//
// River learns of a killed worker only when its jobs have run for longer than RescueStuckJobsAfter, which has to be above
// the slowest job's timeout. Promise I11 wants them back within 15 s. So every process that works jobs has a Heart, which
// tells the database every 2 s that the process lives, and a Rescuer, which every 2 s gives back the running jobs of
// those that have been silent for 8 s. Only the database's clock counts. From the kill to the job's next attempt that
// makes 8 s + 2 s at most, and River's own poll.
//
// A client without any heartbeat is lost as well: a crash of Postgres empties the table, and jobs of a worker that died
// together with the server must not wait for an hour. Three rules keep the living safe. A job is left alone for 8 s after
// it was fetched. A Rescuer judges nobody before its own heart has beaten for 8 s without a silence of 4 s, so that after
// a restart, a failover or a stall everybody has had time for a beat. And it looks only at the queues it is told of: a
// River client of somebody else's, in the same schema but with queues of its own, needs no heart.
//
// # Lost fetches
//
// A connection that breaks at the wrong moment takes the answer of River's fetch with it: the row names a client that
// lives and never heard of it. Likewise a failover takes back a result that was written, but had not reached the standby.
// So a River middleware keeps a Roster of the attempts that a client has heard of, and the Rescuer compares it every 2 s
// with the client's running jobs. An attempt that is 8 s old and unknown in two looks in a row is given back: that makes
// 12 s from the fetch, or, after a crash, from the heart's first beat. What is at work is never touched. What has been
// worked is left to River's completer, which repeats a failing write for as long as the process lives; only when the
// database has answered 30 looks, hence more than a round of the completer's tries, the result counts as lost.
//
// # Mistakes
//
// A rescue by mistake only works a job again: of a process that stalled between the answer and the middleware, of a
// result that took River longer than all that, of a failed attempt at a job of unknown kind, which no middleware sees.
// A process that was only stopped or cut off, and comes back, finishes jobs that are already at work elsewhere. That is
// what at-least-once means, and what the ledgers' fences are for.
package upkeep
