package webhooks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Queue is where deliveries run.
const Queue = "webhooks"

// Args of a delivery job. The endpoint's id is there so that a job which has to wait for its turn costs no query; the
// round so that a job does nothing when its delivery has been given to another one since.
type Args struct {
	DeliveryID uuid.UUID `json:"delivery_id"`
	EndpointID uuid.UUID `json:"endpoint_id"`
	Round      int32     `json:"round"`
}

// Kind is "deliver_webhook".
func (Args) Kind() string { return "deliver_webhook" }

// enlisted is one event for one endpoint.
type enlisted struct {
	id         uuid.UUID
	event      *outbox.Event
	endpointID uuid.UUID
}

// Enlist is the relay's route from events to delivery jobs: a row in the ledger for each event and each enabled
// endpoint that wants it, and a job for each row that was not there before. It takes one statement when no endpoint
// wants any of them, and two otherwise.
func (s *Service) Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	q := dbq.New(tx)
	pairs, err := s.match(ctx, q, events)
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	// Every process in the same order, or two with the same events deadlock on the ledger's key.
	slices.SortFunc(pairs, func(a, b enlisted) int {
		return cmp.Or(bytes.Compare(a.event.ID[:], b.event.ID[:]), bytes.Compare(a.endpointID[:], b.endpointID[:]))
	})
	ledger := dbq.WebhookDeliveryEnlistParams{Now: s.now()}
	byID := make(map[uuid.UUID]enlisted, len(pairs))
	for _, p := range pairs {
		p.id = uuid.Must(uuid.NewV7())
		byID[p.id] = p
		ledger.IDs = append(ledger.IDs, p.id)
		ledger.EventIds = append(ledger.EventIds, p.event.ID)
		ledger.OccurredAt = append(ledger.OccurredAt, p.event.OccurredAt)
		ledger.Types = append(ledger.Types, p.event.Type)
		ledger.EndpointIds = append(ledger.EndpointIds, p.endpointID)
	}
	rows, err := q.WebhookDeliveryEnlist(ctx, ledger)
	if err != nil {
		return nil, fmt.Errorf("webhooks: enlist: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(rows))
	for i, row := range rows {
		p := byID[row.ID]
		args := Args{DeliveryID: p.id, EndpointID: p.endpointID, Round: 1}
		if jobs[i], err = s.job(args, p.event.Headers.Traceparent); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// match finds who wants what, in one query.
func (s *Service) match(ctx context.Context, q *dbq.Queries, events []outbox.Event) ([]enlisted, error) {
	matching := map[string][]string{} // by event type
	ask := dbq.WebhookEndpointsWantingParams{Filters: []string{}, Named: []uuid.UUID{}}
	for i := range events {
		e := &events[i]
		switch {
		case e.Headers.EndpointID != nil:
			ask.Named = append(ask.Named, *e.Headers.EndpointID)
		case matching[e.Type] == nil:
			matching[e.Type] = filtersFor(e.Type)
			ask.Filters = append(ask.Filters, matching[e.Type]...)
		}
	}
	slices.Sort(ask.Filters)
	ask.Filters = slices.Compact(ask.Filters)
	if len(ask.Filters)+len(ask.Named) == 0 {
		return nil, nil
	}
	endpoints, err := q.WebhookEndpointsWanting(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("webhooks: match: %w", err)
	}
	var pairs []enlisted
	for i := range events {
		e := &events[i]
		for _, endpoint := range endpoints {
			named := e.Headers.EndpointID
			if named != nil && *named == endpoint.ID || named == nil && wants(endpoint.EventTypes, matching[e.Type]) {
				pairs = append(pairs, enlisted{event: e, endpointID: endpoint.ID})
			}
		}
	}
	return pairs, nil
}

// job is a delivery's job for River.
func (s *Service) job(args Args, traceparent string) (river.InsertManyParams, error) {
	opts := &river.InsertOpts{Queue: Queue, MaxAttempts: s.cfg.MaxAttempts}
	if traceparent != "" {
		var err error
		if opts.Metadata, err = json.Marshal(map[string]string{"traceparent": traceparent}); err != nil {
			return river.InsertManyParams{}, fmt.Errorf("webhooks: job metadata: %w", err)
		}
	}
	return river.InsertManyParams{Args: args, InsertOpts: opts}, nil
}
