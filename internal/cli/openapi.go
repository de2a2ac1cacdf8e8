package cli

import "github.com/vendbox/vendbox/internal/httpapi"

type openAPICmd struct{}

// Run prints the description; it needs no database.
func (openAPICmd) Run(s streams) error {
	text, err := httpapi.OpenAPI()
	if err != nil {
		return err
	}
	_, err = s.out.Write(text)
	return err
}
