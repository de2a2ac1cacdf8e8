package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nyaruka/phonenumbers"
)

// Group is a part of the configuration.
type Group interface {
	// problems lists what is wrong, each beginning with the flag's name, and nothing that is secret.
	problems() []string
	// LogValue has every setting, without secrets.
	LogValue() slog.Value
}

// InvalidError lists everything that is wrong.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string {
	return "the configuration is not usable:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// Validate checks groups and lists every problem of all of them. Errors: *InvalidError.
func Validate(groups ...Group) error {
	var all []string
	for _, group := range groups {
		all = append(all, group.problems()...)
	}
	if len(all) == 0 {
		return nil
	}
	return &InvalidError{Problems: all}
}

// Validate checks the whole. Kong calls it by itself for a command that embeds Config.
func (c *Config) Validate() error { return Validate(c.Groups()...) }

// Validate checks the database alone. Kong calls it by itself for a command that embeds Database and nothing else of ours.
func (d *Database) Validate() error { return Validate(d) }

// list gathers problems.
type list []string

func (l *list) wrongf(when bool, format string, args ...any) {
	if when {
		*l = append(*l, fmt.Sprintf(format, args...))
	}
}

// oneOf wants a value to be among some.
func (l *list) oneOf(flag, value string, some ...string) {
	l.wrongf(!slices.Contains(some, value), "%s: %q is not one of %s", flag, value, strings.Join(some, ", "))
}

// readable wants a file, if one is named.
func (l *list) readable(flag, name string) {
	if name == "" {
		return
	}
	file, err := os.Open(name)
	if err == nil {
		err = file.Close()
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	l.wrongf(err != nil, "%s: %s: %v", flag, name, err)
}

// between wants a value to be in a range.
func between[T int | int32 | Size | time.Duration](l *list, flag string, value, low, high T) {
	l.wrongf(value < low || value > high, "%s: %v is not between %v and %v", flag, value, low, high)
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`)

func (d *Database) problems() []string {
	var l list
	l.wrongf(!d.DatabaseURL.IsSet(), "--database-url (VENDBOX_DATABASE_URL) is missing")
	if d.DatabaseURL.IsSet() {
		_, err := pgconn.ParseConfig(d.DatabaseURL.Reveal())
		l.wrongf(err != nil, "--database-url: %s is no connection string for Postgres", d.DatabaseURL)
	}
	l.wrongf(!schemaName.MatchString(d.Schema),
		"--schema: %q: want a lower-case letter or underscore and up to 40 letters, digits and underscores", d.Schema)
	between(&l, "--max-conns", d.MaxConns, 2, 10_000)
	return l
}

const masterKeyBytes = 32

func (k *Keys) problems() []string {
	var l list
	l.wrongf(!k.MasterKey.IsSet(), "--master-key (VENDBOX_MASTER_KEY) is missing")
	if k.MasterKey.IsSet() {
		text := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(strings.TrimSpace(k.MasterKey.Reveal()))
		raw, err := base64.RawStdEncoding.DecodeString(text)
		l.wrongf(err != nil || len(raw) != masterKeyBytes, "--master-key: it is not 32 bytes in base64")
	}
	return l
}

func (h *HTTP) problems() []string {
	var l list
	_, _, err := net.SplitHostPort(h.Addr)
	l.wrongf(err != nil, "--addr: %q is not host:port", h.Addr)
	if h.PublicURL != "" {
		u, err := url.Parse(h.PublicURL)
		l.wrongf(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil,
			"--public-url: want http(s)://host and perhaps a path")
	}
	between(&l, "--max-body", h.MaxBody, 1<<10, 64<<20)
	between(&l, "--max-upload", h.MaxUpload, 1<<10, 64<<30)
	l.oneOf("--access-log", h.AccessLog, "errors", "all", "off")
	between(&l, "--max-watchers", h.MaxWatchers, 1, 1_000_000)
	between(&l, "--shutdown-grace", h.ShutdownGrace, 0, time.Hour)
	return l
}

const maxShopText = 100

func (s *Shop) problems() []string {
	var l list
	between(&l, "--order-ttl", s.OrderTTL, time.Minute, 30*24*time.Hour)
	l.wrongf(utf8.RuneCountInString(s.ShopName) > maxShopText, "--shop-name: want at most %d characters", maxShopText)
	l.wrongf(utf8.RuneCountInString(s.Support) > maxShopText, "--support: want at most %d characters", maxShopText)
	l.wrongf(phonenumbers.GetCountryCodeForRegion(s.DefaultRegion) == 0, "--default-region: %q is no country code such as CN", s.DefaultRegion)
	return l
}

const minSecret = 16

func (p *Payments) problems() []string {
	var l list
	l.wrongf(p.SandboxSecret.IsSet() && len(p.SandboxSecret.Reveal()) < minSecret,
		"--payment-sandbox-secret: want at least %d characters", minSecret)
	l.readable("--payment-channels", p.Channels)
	return l
}

func (r *Risk) problems() []string {
	var l list
	l.readable("--risk-rules", r.RiskRules)
	return l
}

// queueNames are all queues.
var queueNames = []string{"relay", "cards", "sms", "webhooks", "payments", "upkeep"}

func (w *Workers) problems() []string {
	var l list
	for _, name := range w.Queues {
		l.oneOf("--queues", name, queueNames...)
	}
	for flag, n := range map[string]int{
		"--relay-workers": w.RelayWorkers, "--card-workers": w.CardWorkers, "--sms-workers": w.SMSWorkers,
		"--webhook-workers": w.WebhookWorkers, "--payment-workers": w.PaymentWorkers, "--upkeep-workers": w.UpkeepWorkers,
	} {
		between(&l, flag, n, 1, 10_000) // River's own bound
	}
	slices.Sort(l)
	return l
}

// Works says whether this process works on a queue.
func (w *Workers) Works(queue string) bool {
	return len(w.Queues) == 0 || slices.Contains(w.Queues, queue)
}

func (w *Webhooks) problems() []string {
	var l list
	between(&l, "--webhook-timeout", w.Timeout, time.Second, time.Minute)
	between(&l, "--webhook-max-attempts", w.MaxAttempts, 1, 50)
	return l
}

func (s *SMS) problems() []string {
	var l list
	l.oneOf("--sms-provider", s.SMSProvider, "sandbox", "http")
	l.wrongf(s.SMSProvider == "http" && s.SMSGateway == "", "--sms-gateway (VENDBOX_SMS_GATEWAY) is missing: --sms-provider is http")
	l.readable("--sms-gateway", s.SMSGateway)
	return l
}

func (g *Log) problems() []string {
	var l list
	l.oneOf("--log-level", g.LogLevel, "debug", "info", "warn", "error")
	l.oneOf("--log-format", g.LogFormat, "json", "text")
	return l
}

// Level is the log level as slog has it.
func (g *Log) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(g.LogLevel)) // problems has seen it; info otherwise
	return level
}
