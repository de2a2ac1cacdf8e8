// Package money is an amount with its currency.
package money

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Money is an amount in the currency's minor unit (cents, fen).
type Money struct {
	Amount   int64  `json:"amount" minimum:"0" example:"5000" doc:"In the currency's minor unit: 5000 is 50.00 yuan."`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" example:"CNY" doc:"ISO 4217."`
}

// currencies are those of ISO 4217 that are in use, as of January 2026 (list one, without funds, metals and test codes).
var currencies = strings.Fields(`
	AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP CRC CUP
	CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD
	JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN
	NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
	THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
`)

// IsCurrency says whether a code is one of ISO 4217 that is in use. RMB, say, is none: that is CNY.
func IsCurrency(code string) bool {
	return slices.Contains(currencies, code)
}

// minorDigits of the currencies of ISO 4217 that do not have two.
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

// Decimal is the amount, not negative, in the currency's major unit, as a person writes it: "19.99"; yen,
// which have no minor unit, "1999".
func (m Money) Decimal() string {
	digits, special := minorDigits[m.Currency]
	if !special {
		digits = 2
	}
	if digits == 0 {
		return strconv.FormatInt(m.Amount, 10)
	}
	text := fmt.Sprintf("%0*d", digits+1, m.Amount)
	return text[:len(text)-digits] + "." + text[len(text)-digits:]
}

var errNoAmount = errors.New("money: no amount")

// ParseDecimal reads an amount in the currency's major unit, exactly: "19.99", "-0.5", yen "1999". More digits after the
// point than the currency has are an error, unless they are zeros.
func ParseDecimal(text, currency string) (Money, error) {
	digits, special := minorDigits[currency]
	if !special {
		digits = 2
	}
	whole, fraction, _ := strings.Cut(strings.TrimLeft(text, "+-"), ".")
	if len(text)-len(strings.TrimLeft(text, "+-")) > 1 || whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return Money{}, errNoAmount
	}
	for len(fraction) < digits {
		fraction += "0"
	}
	if strings.Trim(fraction[digits:], "0") != "" {
		return Money{}, errNoAmount
	}
	n, err := strconv.ParseInt(whole+fraction[:digits], 10, 64)
	if err != nil {
		return Money{}, errNoAmount
	}
	if strings.HasPrefix(text, "-") {
		n = -n
	}
	return Money{Amount: n, Currency: currency}, nil
}
