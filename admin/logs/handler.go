package logs

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
)

// Handler redacts records, keeps them, and hands them on. What the next handler is not enabled for is not kept either.
type Handler struct {
	next   slog.Handler
	recent *Recent

	prefix string // of keys: the groups that are open
	attrs  []Attr // of WithAttrs, as they are kept
}

// NewHandler stands before next.
func NewHandler(next slog.Handler, recent *Recent) *Handler {
	return &Handler{next: next, recent: recent}
}

// Once is a secret that is to be in the log as it is written, such as a password that was made at random. It is not kept.
type Once string

// Enabled says whether next is.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle returns the error of the next handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	message := Redact(r.Message)
	clean := slog.NewRecord(r.Time, r.Level, escape(message, true), r.PC)
	kept := slices.Clip(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		a = redactAttr(a)
		clean.AddAttrs(a)
		kept = appendKept(kept, h.prefix, a)
		return true
	})
	h.recent.add(&Record{Time: r.Time, Level: r.Level, Message: cut(escape(message, false), maxValue), Attrs: kept})
	return h.next.Handle(ctx, clean)
}

// WithAttrs is that of slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(h.attrs)
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redactAttr(a)
		with.attrs = appendKept(with.attrs, h.prefix, clean[i])
	}
	with.next = h.next.WithAttrs(clean)
	return &with
}

// WithGroup is that of slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.prefix += name + "."
	with.next = h.next.WithGroup(name)
	return &with
}

// redactAttr makes a text of a value that may have a secret in it, without that.
func redactAttr(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch _, once := a.Value.Any().(Once); {
	case once:
	case a.Value.Kind() == slog.KindGroup:
		group := slices.Clone(a.Value.Group())
		for i := range group {
			group[i] = redactAttr(group[i])
		}
		a.Value = slog.GroupValue(group...)
	case secretKey.MatchString(a.Key):
		a.Value = slog.StringValue(hidden)
	case a.Value.Kind() == slog.KindString:
		a.Value = slog.StringValue(escape(Redact(a.Value.String()), true))
	case a.Value.Kind() == slog.KindAny && a.Value.Any() != nil:
		a.Value = slog.StringValue(escape(Redact(textOf(a.Value.Any())), true))
	}
	return a
}

// textOf is a value as slog's own handler for text writes it.
func textOf(v any) (text string) {
	defer func() {
		if r := recover(); r != nil { // as slog does: a log line is no reason to fail
			text = fmt.Sprintf("!PANIC: %v", r)
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error()
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if err != nil {
			return "!ERROR: " + err.Error()
		}
		return string(b)
	case []byte:
		return string(v)
	}
	return fmt.Sprintf("%+v", v)
}

// appendKept appends an attribute that was redacted, or those of a group.
func appendKept(list []Attr, prefix string, a slog.Attr) []Attr {
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			list = appendKept(list, prefix, member)
		}
		return list
	}
	if a.Equal(slog.Attr{}) || len(list) >= maxAttrs {
		return list
	}
	value := hidden
	if _, once := a.Value.Any().(Once); !once {
		value = cut(escape(a.Value.String(), false), maxValue)
	}
	return append(list, Attr{Key: cut(escape(prefix+a.Key, false), maxKey), Value: value})
}

// AppendText appends the record as a line, as slog's handler for text writes it.
func (r *Record) AppendText(b []byte) ([]byte, error) {
	b = append(b, "time="...)
	b = r.Time.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, " level="...)
	b = append(b, r.Level.String()...)
	b = appendPair(b, "msg", r.Message)
	for _, a := range r.Attrs {
		b = appendPair(b, a.Key, a.Value)
	}
	return append(b, '\n'), nil
}

func appendPair(b []byte, key, value string) []byte {
	b = append(b, ' ')
	b = appendWord(b, key)
	b = append(b, '=')
	return appendWord(b, value)
}

// appendWord puts a text in quotes if it would not be one word. Its control characters are escapes already, which are not escaped again.
func appendWord(b []byte, s string) []byte {
	plain := s != ""
	for _, r := range s {
		plain = plain && r > ' ' && r != '"' && r != '=' && strconv.IsPrint(r)
	}
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
