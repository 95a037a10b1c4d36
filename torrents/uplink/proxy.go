package uplink

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// ParseProxy reads the address of a proxy: socks5://[user:password@]host:port or http://…. The error does not
// repeat it, as there may be a password in it.
func ParseProxy(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "socks5" || u.Scheme == "http") && u.Hostname() != "" &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && port > 0 {
			return u, nil
		}
	}
	return nil, errors.New("a proxy has to be socks5://[user:password@]host:port or http://[user:password@]host:port")
}

func newProxy(to *url.URL, forward contextDialer) (proxy.ContextDialer, error) {
	if to.Scheme == "http" {
		return httpProxy{to, forward}, nil
	}
	var auth *proxy.Auth
	if to.User != nil {
		password, _ := to.User.Password()
		auth = &proxy.Auth{User: to.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", to.Host, auth, forward)
	if err != nil {
		return nil, err
	}
	return d.(proxy.ContextDialer), nil
}

// httpProxy connects by the method CONNECT (RFC 9110, 9.3.6).
type httpProxy struct {
	to      *url.URL
	forward contextDialer
}

const (
	// connectTime is how long a proxy may take to connect, if the context has no deadline.
	connectTime = 30 * time.Second
	// maxConnectReply bounds the head of its answer, in bytes.
	maxConnectReply = 16 << 10
)

func (p httpProxy) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	if strings.ContainsFunc(addr, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%q is not an address", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := p.forward(ctx, "tcp", p.to.Host)
	if err != nil {
		return nil, fmt.Errorf("the proxy: %w", err)
	}
	// Ends what waits for the proxy.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := p.connect(c, addr)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("the proxy, for %s: %w", addr, err)
	}
	return tunnel, nil
}

func (p httpProxy) connect(c net.Conn, addr string) (net.Conn, error) {
	head := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if p.to.User != nil {
		password, _ := p.to.User.Password()
		login := p.to.User.Username() + ":" + password
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(login)) + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: c, N: maxConnectReply}
	r := bufio.NewReader(limited)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	// The body is the tunnel, and not read as one: what the other side has said already is in r.
	said, err := r.Peek(r.Buffered())
	if err != nil {
		return nil, err
	}
	if len(said) == 0 {
		return c, nil
	}
	return &tunnel{c, said}, nil
}

// tunnel is a connection whose first bytes have been read already.
type tunnel struct {
	net.Conn
	said []byte
}

func (t *tunnel) Read(b []byte) (int, error) {
	if len(t.said) > 0 {
		n := copy(b, t.said)
		t.said = t.said[n:]
		return n, nil
	}
	return t.Conn.Read(b)
}
