package bench

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIsFamily(t *testing.T) {
	t.Parallel()
	require.True(t, isFamily("12 (postgres) S 1 12 12", 12), "itself")
	require.True(t, isFamily("13 (postgres: checkpointer ) S 12 13", 12), "a child")
	require.True(t, isFamily("13 (a) b (12 c) S 12 13", 12), "whatever it is called")
	require.False(t, isFamily("120 (postgres) S 1 12", 12))
	require.False(t, isFamily("13 (12) S 1 12", 12))
	require.False(t, isFamily("", 12))
}

func TestTheProcessorClockGoesOn(t *testing.T) {
	t.Parallel()
	clock := cpuClock{postmaster: os.Getpid()}
	before, err := clock.read()
	require.NoError(t, err)
	spent := 0
	for begun := time.Now(); time.Since(begun) < 30*time.Millisecond; {
		spent++
	}
	require.Positive(t, spent)
	after, err := clock.read()
	require.NoError(t, err)
	require.Greater(t, after.since(before).process, time.Duration(0))
	require.InDelta(t, 1.5, cpuTime{process: 3 * time.Microsecond}.per(2).Process, 1e-9)
	require.Zero(t, cpuTime{}.since(cpuTime{postgres: time.Second}).postgres, "a backend has ended in between")
	require.Equal(t, "3 + 0", Processor{Process: 3.4}.String())
}
