// Package e2e holds the promises to the binary as a user runs it: child processes on a real Postgres with real sockets,
// killed and stopped like any other process.
//
// Its one TestMain builds vendbox and starts a server with fsync on; every test has a database there, a site of its own
// (site_test.go) and the far ends of its webhooks and messages (sink_test.go). No test sleeps: each waits for what it can
// see, up to a deadline, and shows the log of its processes when it fails.
package e2e
