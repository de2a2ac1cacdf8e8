package sms

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Five hundred messages through a real River client and a gateway that never answers a tenth of them. The others are
// through while those still hang, no connection to the database is held meanwhile, and those end as unknown.
func TestHangingGatewaySlowsNobody(t *testing.T) {
	t.Parallel()
	const total, hanging = 500, 50
	release := make(chan struct{})
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ref := r.FormValue("ref")
		mu.Lock()
		seen[ref]++
		mu.Unlock()
		if strings.HasPrefix(r.FormValue("text"), "hang") {
			<-release
			return
		}
		fmt.Fprintf(w, `{"id":%q}`, ref)
	}))
	defer server.Close()
	defer close(release)
	gateway, err := ParseGateway(fmt.Appendf(nil, `{"url":%q,"body_format":"form","body":{"to":"{to}","text":"{text}","ref":"{ref}"},
		"message_id_path":"id","timeout":"8s"}`, server.URL), os.LookupEnv)
	require.NoError(t, err)
	b := setup(t, func(_ *Config, d *Deps) { d.Provider = gateway })
	b.template(t, "order.completed", "en", "go {{url}}")
	b.template(t, "order.paid", "en", "hang {{url}}")
	good, bad := make([]uuid.UUID, total-hanging), make([]uuid.UUID, hanging)
	for i := range good {
		good[i] = b.order(t, number, "en")
	}
	for i := range bad {
		bad[i] = b.order(t, number, "en")
	}
	require.Len(t, b.relay(t, b.events(t, "order.paid", "en", `{}`, bad...)), hanging) // first in the queue
	require.Len(t, b.relay(t, b.events(t, "order.completed", "en", `{}`, good...)), total-hanging)
	began := time.Now()
	b.run(t)

	b.eventually(t, total-hanging, `select count(*) from sms_messages where status = 'sent'`)
	t.Logf("%d sent in %s", total-hanging, time.Since(began))
	require.Equal(t, hanging, b.count(t, `select count(*) from sms_messages where status = 'sending'`), "these still hang")
	require.Eventually(t, func() bool { return b.pool.Stat().AcquiredConns() <= 1 }, patience, time.Millisecond,
		"what hangs holds no connection; River listens on one")
	require.Zero(t, b.count(t, `select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`))

	b.eventually(t, hanging, `select count(*) from sms_messages where status = 'unknown' and error_code = 'answer_timeout'`)
	b.eventually(t, hanging, `select count(*) from failed_jobs where kind = 'send_sms' and status = 'open'`)
	b.eventually(t, total-hanging, `select count(*) from river_job where kind = 'send_sms' and state = 'completed'`)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, seen, total)
	for ref, n := range seen {
		require.Equal(t, 1, n, "message %s was sent once", ref)
	}
	requireNoSecrets(t, b)
}
