// Package gateways has the payment channels of real gateways: Stripe, Alipay, WeChat Pay v3 and epay (易支付). Each has a
// file for what it is sent (verify) and one for what it sends (begin, ask, give back). Parse makes them of a JSON file.
//
// What they have in common: everything is verified before it is looked at; a form or a JSON document that names something
// twice is refused; amounts are read digit by digit; answers of a gateway are believed only when its signature is right,
// where it signs them; and no error names an address, since one of the gateways takes its key in it.
package gateways
