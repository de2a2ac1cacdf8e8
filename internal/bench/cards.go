package bench

import (
	"bytes"
	"context"
	"fmt"

	"github.com/vendbox/vendbox/internal/inventory"
)

// stockCards makes a product and imports n cards for it, sealed as everybody's.
func stockCards(ctx context.Context, stock *inventory.Service, sku string, n int) error {
	_, err := stock.Create(ctx, inventory.CreateParams{
		SKU: sku, Name: productName, Kind: inventory.KindCard,
		Price: inventory.Money{Amount: productPrice, Currency: productCurrency},
	})
	if err != nil {
		return fmt.Errorf("bench: product: %w", err)
	}
	var codes bytes.Buffer
	for i := range n {
		fmt.Fprintf(&codes, "%s-%08d\n", sku, i)
	}
	report, err := stock.Import(ctx, inventory.ImportParams{SKU: sku, Format: inventory.FormatText, Reader: &codes, Actor: "bench"})
	if err != nil {
		return fmt.Errorf("bench: import: %w", err)
	}
	if report.Imported != int64(n) {
		return fmt.Errorf("bench: imported %d of %d cards", report.Imported, n)
	}
	return nil
}
