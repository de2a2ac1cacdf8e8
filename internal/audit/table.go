package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes the report for a person: a line per promise, then what breaks them.
func (r Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROMISE\t\tRESULT\tTOOK")
	for _, check := range r.Checks {
		result := "ok"
		if !check.OK() {
			result = fmt.Sprintf("%d BROKEN", check.Count)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", check.ID, check.Title, result, check.Took.Round(time.Millisecond))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	for _, check := range r.Checks {
		if !check.OK() {
			check.explain(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Check) explain(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", c.ID, c.Statement)
	for _, o := range c.Offenders {
		fmt.Fprintf(b, "  %s: %s (expected %s, found %s)\n", o.ID, o.What, o.Expected, o.Actual)
	}
	if more := c.Count - len(c.Offenders); more > 0 {
		fmt.Fprintf(b, "  … and %d more\n", more)
	}
}
