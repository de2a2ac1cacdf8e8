// Package contact reads how a buyer can be reached: a telephone number and an e-mail address, checked at the door, kept
// sealed, shown masked.
package contact

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Contact is how a buyer can be reached; either part may be missing. Its JSON, {"phone":"+86…","email":"…"} without
// what is missing, holds both in full and is made for sealing. Everything else that prints it shows the masks.
type Contact struct {
	Phone Phone `json:"phone,omitzero"`
	Email Email `json:"email,omitzero"`
}

// Masked is a contact as it may be stored in the clear and shown.
type Masked struct {
	Phone string `json:"phone,omitempty"`
	Email string `json:"email,omitempty"`
}

// Parse reads both parts; an empty string is a missing part. region is the country of telephone numbers without a
// country code (ISO 3166-1 alpha-2), or "" to require one.
//
// Faults: "phone_invalid", "email_invalid".
func Parse(phone, email, region string) (Contact, error) {
	var c Contact
	var err error
	if phone != "" {
		if c.Phone, err = ParsePhone(phone, region); err != nil {
			return Contact{}, err
		}
	}
	if email != "" {
		if c.Email, err = ParseEmail(email); err != nil {
			return Contact{}, err
		}
	}
	return c, nil
}

// FromJSON reads what was sealed. Its errors do not repeat the input.
func FromJSON(data []byte) (Contact, error) {
	var c Contact
	if err := json.Unmarshal(data, &c); err != nil {
		return Contact{}, fmt.Errorf("contact: unreadable: %w", withoutInput(err))
	}
	return c, nil
}

// withoutInput drops the message of a JSON error: it may quote the data.
func withoutInput(err error) error {
	return fmt.Errorf("%T", err)
}

// IsZero reports whether both parts are missing.
func (c Contact) IsZero() bool { return c.Phone.IsZero() && c.Email.IsZero() }

// Masked gives the form that may be stored in the clear and shown.
func (c Contact) Masked() Masked {
	return Masked{Phone: c.Phone.Mask(), Email: c.Email.Mask()}
}

// String gives the masks.
func (c Contact) String() string {
	m := c.Masked()
	return fmt.Sprintf("{phone:%s email:%s}", m.Phone, m.Email)
}

// GoString gives the masks.
func (c Contact) GoString() string { return c.String() }

// LogValue gives the masks.
func (c Contact) LogValue() slog.Value {
	m := c.Masked()
	return slog.GroupValue(slog.String("phone", m.Phone), slog.String("email", m.Email))
}
