// Package money is an amount with its currency.
package money

// Money is an amount in the currency's minor unit (cents, fen).
type Money struct {
	Amount   int64  `json:"amount" minimum:"0" example:"5000" doc:"In the currency's minor unit: 5000 is 50.00 yuan."`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" example:"CNY" doc:"ISO 4217."`
}
