//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	siteUser     = "admin"
	sitePassword = "a password for the bench"
	// visitTime is how long a page may take before it is given up.
	visitTime = time.Minute
)

// visitor is a browser: it is logged in, takes gzip, and keeps static files.
type visitor struct {
	*http.Client
	weights map[string]int // of what was loaded beside pages, in bytes, by address
}

// newVisitor returns one that is not logged in. from is its address; empty for any.
func newVisitor(from string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: visitTime}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 4}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &visitor{&http.Client{Transport: transport, Jar: jar, CheckRedirect: stay}, make(map[string]int)}, nil
}

// logIn does what the form of the login does.
func (v *visitor) logIn() error {
	a, err := v.ask(visit{path: "/login", form: url.Values{"user": {siteUser}, "password": {sitePassword}}})
	if err == nil && a.status != http.StatusSeeOther {
		err = fmt.Errorf("log in: status %d", a.status)
	}
	return err
}

// visit is a request of a page, or of the API.
type visit struct {
	name   string // in the report
	path   string
	form   url.Values   // that is sent; nil for GET
	json   string       // that is sent; empty for GET
	page   bool         // is a page, with all that it loads
	before func() error // what makes it slow, before each time; may be nil
}

// answer is what came.
type answer struct {
	status int
	body   []byte // as it is
	weight int    // as it came, in bytes
	took   time.Duration
}

func (v *visitor) ask(visit visit) (a answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), visitTime)
	defer cancel()
	req, err := visit.request(ctx)
	if err != nil {
		return a, err
	}
	begin := time.Now()
	resp, err := v.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	packed, err := io.ReadAll(resp.Body)
	a = answer{resp.StatusCode, packed, len(packed), time.Since(begin)}
	if err == nil && resp.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			a.body, err = io.ReadAll(z)
		}
	}
	return a, err
}

func (v visit) request(ctx context.Context) (*http.Request, error) {
	method, contentType, body := http.MethodGet, "", io.Reader(http.NoBody)
	switch {
	case v.form != nil:
		method, contentType, body = http.MethodPost, "application/x-www-form-urlencoded", strings.NewReader(v.form.Encode())
	case v.json != "":
		method, contentType, body = http.MethodPost, "application/json", strings.NewReader(v.json)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+shoalHTTP+v.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if strings.HasPrefix(v.path, "/api/") {
		req.Header.Set("Accept", "application/json")
	} else {
		req.Header.Set("Accept", "text/html")
	}
	return req, nil
}

// loads are the addresses in a page of what browsers load with it, and fetches of what its scripts ask for then.
var (
	loads   = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)
	fetches = regexp.MustCompile(`data-(?:history|pieces)="([^"]+)"`)
	feeds   = regexp.MustCompile(`data-feed="([^"]+)" data-has="([^"]*)"`)
)

var errNoFeed = errors.New("the stream of the page sends nothing")

// weigh returns how much is transferred for a page whose browser has nothing yet, in bytes: in all, and of that on the page's stream at first.
func (v *visitor) weigh(page answer) (all, feed int, err error) {
	all = page.weight
	addresses := make(map[string]bool)
	for _, match := range append(loads.FindAllSubmatch(page.body, -1), fetches.FindAllSubmatch(page.body, -1)...) {
		addresses[html.UnescapeString(string(match[1]))] = true
	}
	for address := range addresses {
		weight, known := v.weights[address]
		if !known {
			a, err := v.ask(visit{path: address})
			if err != nil {
				return 0, 0, err
			}
			if a.status != http.StatusOK {
				return 0, 0, fmt.Errorf("%s: status %d", address, a.status)
			}
			weight, v.weights[address] = a.weight, a.weight
		}
		all += weight
	}
	if match := feeds.FindSubmatch(page.body); match != nil {
		if feed, err = v.firstEvents(html.UnescapeString(string(match[1])), html.UnescapeString(string(match[2]))); err != nil {
			return 0, 0, err
		}
	}
	return all + feed, feed, nil
}

// quietTime is after how long without anything new a stream has sent what it begins with; a tick is longer.
const quietTime = 150 * time.Millisecond

// firstEvents returns how many bytes the stream of a page begins with, for who has its parts.
func (v *visitor) firstEvents(path, has string) (int, error) {
	sign := "?"
	if strings.Contains(path, "?") {
		sign = "&"
	}
	path += sign + "has=" + url.QueryEscape(has)
	ctx, cancel := context.WithTimeout(context.Background(), visitTime)
	defer cancel()
	quiet := time.AfterFunc(visitTime, cancel)
	n := 0
	err := v.follow(ctx, path, func(b []byte) {
		n += len(b)
		quiet.Reset(quietTime)
	})
	if err == nil && n == 0 {
		err = errNoFeed
	}
	return n, err
}

// follow reads a stream until ctx is done, which is no error.
func (v *visitor) follow(ctx context.Context, path string, take func([]byte)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+shoalHTTP+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := v.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream of %s: %s", path, resp.Status)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		take(buf[:n])
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("the stream of %s: %w", path, err)
		}
	}
}
