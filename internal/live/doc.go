// Package live tells those who watch an order, in this process, how it changes.
//
// A change is committed somewhere, by any process; the relay that turns its events into jobs sends one notification with
// the ids of the batch's orders. Each process hears them on a connection of its own and reads the watched ones among
// them, all in one go. Notifications are hints: every few seconds the hub also asks how far each watched order is, so a
// lost one, or a pooler that does not pass them on, costs seconds and no change.
//
// A watcher gets states, not steps: when two changes come faster than it reads, it sees the second. So nothing is queued
// for anybody, and a slow reader costs no memory.
package live
