package admin

import (
	"fmt"
	"html/template"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"shoal/admin/locale"
)

// templates are the pages in one language: by the name of the file, each with the layout and what pages share.
type templates map[string]*template.Template

// loadTemplates reads layout.html and what it needs from shared/, and with each of the others makes a page. What depends on the
// language is bound when they are read, so that a page names texts and not languages.
func (s *server) loadTemplates(files fs.FS, l *locale.Locale) (templates, error) {
	shared, err := template.New("layout.html").Funcs(s.templateFuncs(l)).ParseFS(files, "layout.html", "shared/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, err
	}
	pages := make(templates)
	for _, name := range names {
		if name == "layout.html" {
			continue
		}
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		pages[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return pages, nil
}

// templateFuncs are what templates can call.
func (s *server) templateFuncs(l *locale.Locale) template.FuncMap {
	return template.FuncMap{
		// Texts: t "group.key" arguments…, n "group.key" count arguments….
		"t": l.T,
		"n": l.N,

		"number":   func(n any) string { return l.Number(toInt64(n)) },
		"size":     func(n any) string { return l.Size(toInt64(n)) },
		"rate":     func(n any) string { return l.T("site.per_second", l.Size(toInt64(n))) },
		"percent":  func(part, whole any) string { return l.Percent(toInt64(part), toInt64(whole)) },
		"time":     l.Time,
		"ago":      func(t time.Time) string { return l.Ago(t, time.Now()) },
		"duration": l.Duration,
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },

		// Addresses: u "/path" segments…, of which each is one segment whatever is in it; query "key" "value" … of an address.
		"u":     s.url,
		"query": query,
		"asset": func(name string) string { return s.base + s.assets.path(name) },

		// Several values for a template that takes one: dict "name" value ….
		"dict": dict,
	}
}

// url is the address of a page of this site: a path of ours, and behind it segments that are anything. Those with slashes
// have to be several.
func (s *server) url(path string, segments ...any) string {
	var b strings.Builder
	b.WriteString(s.base)
	b.WriteString(path)
	for _, segment := range segments {
		if !strings.HasSuffix(b.String(), "/") {
			b.WriteByte('/')
		}
		b.WriteString(url.PathEscape(fmt.Sprint(segment)))
	}
	return b.String()
}

// query adds parameters to an address. Those that are empty are left out.
func query(address string, pairs ...any) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("query: a parameter has no value")
	}
	values := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		if v := fmt.Sprint(pairs[i+1]); v != "" {
			values.Set(fmt.Sprint(pairs[i]), v)
		}
	}
	if len(values) == 0 {
		return address, nil
	}
	return address + "?" + values.Encode(), nil
}

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: a name has no value")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// toInt64 takes any integer that views have.
func toInt64(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	case uint64:
		return int64(min(n, 1<<63-1))
	default:
		panic(fmt.Sprintf("%T is no number for a template", n))
	}
}
