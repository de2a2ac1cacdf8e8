package config

import (
	"fmt"
	"log/slog"
	"reflect"
)

// LogValue has every setting by its flag's name, without secrets.
func (c *Config) LogValue() slog.Value {
	var all []slog.Attr
	for _, group := range c.Groups() {
		all = append(all, group.LogValue().Group()...)
	}
	return slog.GroupValue(all...)
}

// LogValue is for logs; see Config.LogValue.
func (d *Database) LogValue() slog.Value { return settings(d) }

// LogValue is for logs; see Config.LogValue.
func (k *Keys) LogValue() slog.Value { return settings(k) }

// LogValue is for logs; see Config.LogValue.
func (h *HTTP) LogValue() slog.Value { return settings(h) }

// LogValue is for logs; see Config.LogValue.
func (s *Shop) LogValue() slog.Value { return settings(s) }

// LogValue is for logs; see Config.LogValue.
func (p *Payments) LogValue() slog.Value { return settings(p) }

// LogValue is for logs; see Config.LogValue.
func (r *Risk) LogValue() slog.Value { return settings(r) }

// LogValue is for logs; see Config.LogValue.
func (w *Workers) LogValue() slog.Value { return settings(w) }

// LogValue is for logs; see Config.LogValue.
func (w *Webhooks) LogValue() slog.Value { return settings(w) }

// LogValue is for logs; see Config.LogValue.
func (s *SMS) LogValue() slog.Value { return settings(s) }

// LogValue is for logs; see Config.LogValue.
func (g *Log) LogValue() slog.Value { return settings(g) }

// settings reads a group's fields; those that hold secrets print themselves without.
func settings(group any) slog.Value {
	v := reflect.ValueOf(group).Elem()
	attrs := make([]slog.Attr, 0, v.NumField())
	for i := range v.NumField() {
		attrs = append(attrs, slog.String(v.Type().Field(i).Tag.Get("name"), fmt.Sprint(v.Field(i).Interface())))
	}
	return slog.GroupValue(attrs...)
}
