package config_test

import (
	"os"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/config"
)

// docs/operating.md has each setting with its variable and its default.
func TestOperatingHasEverySetting(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operating.md")
	require.NoError(t, err)
	settings := 0
	var look func(reflect.Type)
	look = func(group reflect.Type) {
		for field := range group.Fields() {
			name, env := field.Tag.Get("name"), field.Tag.Get("env")
			if name == "" {
				if field.Type.Kind() == reflect.Struct {
					look(field.Type)
				}
				continue
			}
			settings++
			start := "| `--" + name + "` | `" + env + "` | "
			if value := field.Tag.Get("default"); value != "" {
				start += "`" + value + "` |"
			}
			require.Contains(t, string(text), start)
		}
	}
	look(reflect.TypeFor[config.Config]())
	require.Greater(t, settings, 20)
}
