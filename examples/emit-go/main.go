// Command emit-go sends an invoice: a row in its own table and an event for vendbox's subscribers, in one transaction.
//
//	DATABASE_URL=postgres://… go run . INV-1001 5000
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: emit-go NUMBER TOTAL")
		os.Exit(2)
	}
	eventID, err := run(context.Background(), os.Getenv("DATABASE_URL"), os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "emit-go:", err)
		os.Exit(1)
	}
	fmt.Println(eventID)
}

func run(ctx context.Context, databaseURL, number, total string) (string, error) {
	amount, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return "", fmt.Errorf("total: %w", err)
	}
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, createInvoices); err != nil {
		return "", err
	}
	var eventID string
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		eventID, err = sendInvoice(ctx, tx, number, amount)
		return err
	})
	return eventID, err
}

const createInvoices = `create table if not exists invoices (
	number text primary key, total bigint not null, sent_at timestamptz not null default now())`

// sendInvoice is what an application does: its own change, and the event that tells of it.
func sendInvoice(ctx context.Context, tx pgx.Tx, number string, total int64) (eventID string, err error) {
	if _, err := tx.Exec(ctx, "insert into invoices (number, total) values ($1, $2)", number, total); err != nil {
		return "", err
	}
	err = tx.QueryRow(ctx, "select vendbox.emit('invoice.sent', 'invoice', $1, $2)",
		number, map[string]any{"number": number, "total": total}).Scan(&eventID)
	return eventID, err
}
