package contact

// ParseE164 is the short way of ParsePhone.
func ParseE164(s string) (Phone, bool) { return parseE164(s) }
