// Package telemetry makes the logger and the tracing of a process, and carries a trace's context (W3C Trace Context)
// across what is no call: an event in the outbox, a job in the queue.
package telemetry
