package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// ErrCertificate is returned for a server that cannot prove to be the one it was asked for.
var ErrCertificate = errors.New("the server's certificate is not trusted")

// Verifier checks the certificates of servers for an http.Client that does not check them, and whose transport
// nobody can get at, as the one that anacrolix/torrent v1.62.0 has for trackers (tracker/http/client.go). Its
// requests have to go through Request, and its connections through Dial. What is checked is the host that was
// dialled, after each redirect too, between the handshake and the first byte of the request.
type Verifier struct {
	Roots *x509.CertPool // that are trusted; nil: the system's
}

// Request makes the connections of req, and of where it is redirected, be checked.
func (v *Verifier) Request(req *http.Request) {
	x := &exchange{roots: v.Roots}
	ctx := context.WithValue(req.Context(), exchangeKey{}, x)
	*req = *req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: x.verify}))
}

// Dial returns dial for that client. Without Request before, it refuses to connect.
func (v *Verifier) Dial(dial DialContextFunc) DialContextFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		x, ok := ctx.Value(exchangeKey{}).(*exchange)
		if !ok {
			return nil, fmt.Errorf("connect to %s: nobody would check its certificate", addr)
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.host = host
		return &verifiedConn{conn, x}, nil
	}
}

type exchangeKey struct{}

// exchange is a request with where it is redirected. A transport dials for one of these after the other.
type exchange struct {
	roots *x509.CertPool

	mu   sync.Mutex
	host string // that was dialled last
	err  error  // of the first certificate that is wrong; ends all connections
}

// verify checks a certificate, on the goroutine that has dialled, which goes on only then.
func (x *exchange) verify(state tls.ConnectionState, err error) {
	if err != nil {
		return // there is no connection
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	opts := x509.VerifyOptions{Roots: x.roots, DNSName: x.host, Intermediates: x509.NewCertPool()}
	if len(state.PeerCertificates) == 0 {
		x.err = ErrCertificate
		return
	}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(opts); err != nil {
		x.err = fmt.Errorf("%w: %w", ErrCertificate, err)
	}
}

func (x *exchange) wrong() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// verifiedConn carries nothing more once a certificate was wrong.
type verifiedConn struct {
	net.Conn
	exchange *exchange
}

func (c *verifiedConn) Read(b []byte) (int, error) {
	if err := c.exchange.wrong(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *verifiedConn) Write(b []byte) (int, error) {
	if err := c.exchange.wrong(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
