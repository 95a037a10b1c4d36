package main

import (
	"net/url"
	"path/filepath"
	"reflect"
	"strings"

	"shoal/admin"
)

// settings is the configuration for the page of settings, without its secrets.
func (c *Config) settings() []admin.Setting {
	var list []admin.Setting
	group := ""
	for field := range fields() {
		if g := field.Tag.Get("group"); g != "" {
			group = g
		}
		tag := field.Tag.Get("env")
		s := admin.Setting{Name: prefix + tag, Group: group, Source: admin.SourceDefault}
		text := field.Tag.Get("envDefault")
		if tag == "CACHE_DIR" {
			text = filepath.Join(c.DataDir, "cache")
		}
		if given, ok := c.given[tag]; ok {
			text, s.Source = given.text, admin.SourceEnvironment
			if given.file {
				s.Source = admin.SourceFile
			}
		}
		s.Set = text != ""
		switch field.Tag.Get("secret") {
		case "":
			s.Value = text
		case "url":
			s.Value = publicURLs(text, field.Type.Kind() == reflect.Slice)
		default:
			s.Secret = true
		}
		list = append(list, s)
	}
	return list
}

// publicURLs returns a URL, or a list of them, without what may be a secret.
func publicURLs(text string, list bool) string {
	if !list {
		return publicURL(text)
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		items[i] = publicURL(item)
	}
	return strings.Join(items, ",")
}

// publicURL is a URL with the server, and nothing else that is not the same for everybody: users, passwords, passkeys and PINs are in
// all other parts, in too many ways to tell them apart. What is no URL is a path.
func publicURL(text string) string {
	const more = "…"
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return more
	}
	public := u.Scheme + "://"
	if u.User != nil {
		public += more + "@"
	}
	public += u.Host
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		public += "/" + more
	case u.Path == "" || u.Path == "/" || u.Path == "/announce":
		public += u.Path
	default:
		public += "/" + more
	}
	return public
}
