package config

import (
	"fmt"
	"time"

	"github.com/alecthomas/kong"
)

// Config is all of it, as `vendbox serve` needs it.
type Config struct {
	Database `embed:"" group:"Database"`
	Keys     `embed:"" group:"Keys"`
	HTTP     `embed:"" group:"HTTP"`
	Shop     `embed:"" group:"Shop"`
	Payments `embed:"" group:"Payments"`
	Risk     `embed:"" group:"Risk"`
	Workers  `embed:"" group:"Workers"`
	Webhooks `embed:"" group:"Webhooks"`
	SMS      `embed:"" group:"SMS"`
	Log      `embed:"" group:"Log"`
}

// Defaults are what the flags give when nobody sets any. The environment is left out on purpose: what is set there is for
// a shop, and whoever starts from the defaults (development) must not send messages through its gateway.
func Defaults() Config {
	var c Config
	parser, err := kong.New(&c, kong.NoDefaultHelp())
	if err != nil {
		panic(fmt.Sprintf("config: %v", err)) // a tag is wrong
	}
	for _, flag := range parser.Model.Flags {
		flag.Tag.Envs = nil
		if err := flag.Reset(); err != nil {
			panic(fmt.Sprintf("config: the default of --%s: %v", flag.Name, err))
		}
	}
	return c
}

// Groups are the parts of the whole, for Validate and Attrs.
func (c *Config) Groups() []Group {
	return []Group{&c.Database, &c.Keys, &c.HTTP, &c.Shop, &c.Payments, &c.Risk, &c.Workers, &c.Webhooks, &c.SMS, &c.Log}
}

// Database says where Postgres is.
type Database struct {
	DatabaseURL DatabaseURL `name:"database-url" env:"VENDBOX_DATABASE_URL" placeholder:"URL" help:"Postgres, as postgres://user:password@host:5432/database or key=value pairs."`
	Schema      string      `name:"schema" env:"VENDBOX_SCHEMA" default:"vendbox" help:"The schema that holds everything. One shop per schema."`
	MaxConns    int32       `name:"max-conns" env:"VENDBOX_MAX_CONNS" default:"20" help:"Connections of this process at most."`
}

// Keys has the key of keys.
type Keys struct {
	MasterKey Secret `name:"master-key" env:"VENDBOX_MASTER_KEY" placeholder:"BASE64" help:"32 bytes in base64. They seal the data keys and are kept nowhere else: lose them and the cards are lost. Make one with vendbox keyset new."`
}

// HTTP says how the API is served.
type HTTP struct {
	Addr          string        `name:"addr" env:"VENDBOX_ADDR" default:":8080" help:"Where to listen."`
	PublicURL     string        `name:"public-url" env:"VENDBOX_PUBLIC_URL" placeholder:"URL" help:"Where buyers and payment providers reach it. Default: http://localhost and the port."`
	MaxBody       Size          `name:"max-body" env:"VENDBOX_MAX_BODY" default:"1MiB" help:"The largest JSON body."`
	MaxUpload     Size          `name:"max-upload" env:"VENDBOX_MAX_UPLOAD" default:"512MiB" help:"The largest card import."`
	AccessLog     string        `name:"access-log" env:"VENDBOX_ACCESS_LOG" default:"errors" help:"Which requests are logged: errors (and slow ones), all, off (only answers of 500 and above)."`
	MaxWatchers   int           `name:"max-watchers" env:"VENDBOX_MAX_WATCHERS" default:"5000" help:"How many orders may be watched through this process at once (open event streams)."`
	ShutdownGrace time.Duration `name:"shutdown-grace" env:"VENDBOX_SHUTDOWN_GRACE" default:"20s" help:"How long requests and jobs may take to finish when the process is told to stop."`
}

// Shop says how it sells.
type Shop struct {
	OrderTTL      time.Duration `name:"order-ttl" env:"VENDBOX_ORDER_TTL" default:"30m" help:"How long an order can be paid."`
	ShopName      string        `name:"shop-name" env:"VENDBOX_SHOP_NAME" placeholder:"TEXT" help:"What buyers know the shop as. It heads their page."`
	Support       string        `name:"support" env:"VENDBOX_SUPPORT" placeholder:"TEXT" help:"How buyers reach a person of the shop: a telephone number, an e-mail address or a link. Their page shows it."`
	DefaultRegion string        `name:"default-region" env:"VENDBOX_DEFAULT_REGION" default:"CN" help:"The country of phone numbers without a country code (ISO 3166)."`
}

// Payments says how buyers pay.
type Payments struct {
	SandboxSecret Secret `name:"payment-sandbox-secret" env:"VENDBOX_PAYMENT_SANDBOX_SECRET" placeholder:"SECRET" help:"Turns the sandbox payment channel on. Whoever knows the secret can say that an order is paid."`
	Channels      string `name:"payment-channels" env:"VENDBOX_PAYMENT_CHANNELS" placeholder:"FILE" help:"JSON description of the payment gateways and the accounts there."`
}

// Risk says which orders are looked at twice.
type Risk struct {
	RiskRules string `name:"risk-rules" env:"VENDBOX_RISK_RULES" placeholder:"FILE" help:"JSON file of rules that hold or refuse orders, and of an external scorer. All processes need the same. Default: none."`
}

// Workers says which jobs this process works on, and how many of each at once.
type Workers struct {
	Queues         []string `name:"queues" env:"VENDBOX_QUEUES" placeholder:"NAME" help:"Only these: relay, cards, sms, webhooks, payments, upkeep. Default: all."`
	RelayWorkers   int      `name:"relay-workers" env:"VENDBOX_RELAY_WORKERS" default:"4" help:"Relay jobs at once."`
	CardWorkers    int      `name:"card-workers" env:"VENDBOX_CARD_WORKERS" default:"200" help:"Card deliveries at once."`
	SMSWorkers     int      `name:"sms-workers" env:"VENDBOX_SMS_WORKERS" default:"200" help:"Messages at once."`
	WebhookWorkers int      `name:"webhook-workers" env:"VENDBOX_WEBHOOK_WORKERS" default:"200" help:"Webhook deliveries at once."`
	PaymentWorkers int      `name:"payment-workers" env:"VENDBOX_PAYMENT_WORKERS" default:"10" help:"Refunds at once."`
	UpkeepWorkers  int      `name:"upkeep-workers" env:"VENDBOX_UPKEEP_WORKERS" default:"4" help:"Periodic jobs at once."`
}

// Webhooks says where deliveries may go.
type Webhooks struct {
	AllowHTTP    bool          `name:"webhook-allow-http" env:"VENDBOX_WEBHOOK_ALLOW_HTTP" help:"Accept endpoints without TLS. For development."`
	AllowPrivate bool          `name:"webhook-allow-private" env:"VENDBOX_WEBHOOK_ALLOW_PRIVATE" help:"Deliver to private and local addresses. For development: endpoints could then reach what only this machine should."`
	Timeout      time.Duration `name:"webhook-timeout" env:"VENDBOX_WEBHOOK_TIMEOUT" default:"15s" help:"How long an endpoint may take to answer."`
	MaxAttempts  int           `name:"webhook-max-attempts" env:"VENDBOX_WEBHOOK_MAX_ATTEMPTS" default:"8" help:"Attempts of one delivery."`
}

// SMS says how messages are sent.
type SMS struct {
	SMSProvider string `name:"sms-provider" env:"VENDBOX_SMS_PROVIDER" default:"sandbox" help:"sandbox keeps messages in the database; http sends them through the gateway that the gateway file describes."`
	SMSGateway  string `name:"sms-gateway" env:"VENDBOX_SMS_GATEWAY" placeholder:"FILE" help:"JSON description of the SMS gateway, with its credentials."`
}

// Log says what is logged.
type Log struct {
	LogLevel  string `name:"log-level" env:"VENDBOX_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"VENDBOX_LOG_FORMAT" default:"json" help:"json or text."`
}
