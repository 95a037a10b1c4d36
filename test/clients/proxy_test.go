//go:build linux

package clients

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
)

const (
	proxyName     = "shoal.example.org" // in docs/reverse-proxy.md
	proxyPassword = "correct horse battery"
	// browserAddr is where requests to the proxy come from, to be told from the proxy itself.
	browserAddr = "127.0.0.9"
	proxyLimit  = 20 * time.Second // for all that is asked; normal is below 2 s
)

var nginxBlock = regexp.MustCompile("(?s)\n```nginx\n(.*?)```")

// TestNginx tries the lines for nginx that are in docs/reverse-proxy.md, on other ports.
func TestNginx(t *testing.T) {
	a := appliance.Start(t, "SHOAL_ROUTES=films", "SHOAL_ADMIN_PASSWORD="+proxyPassword, "SHOAL_ALLOWED_HOSTS="+proxyName, "SHOAL_TRUSTED_PROXIES=127.0.0.1/32")
	origin, browser := startNginx(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), proxyLimit)
	defer cancel()
	ask := func(method, path, contentType, cookie string, body io.Reader) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, origin+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Origin": origin, "Content-Type": contentType, "Cookie": cookie, "X-Forwarded-For": "8.8.8.8",
		} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() }) // read as far as it is wanted
		return answer{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Cookies(), resp.Body}
	}
	logIn := func(password string) answer {
		form := url.Values{"user": {"admin"}, "password": {password}}
		return ask(http.MethodPost, "/login", "application/x-www-form-urlencoded", "", strings.NewReader(form.Encode()))
	}

	in := logIn(proxyPassword)
	if len(in.cookies) != 1 || in.status != http.StatusSeeOther || !in.cookies[0].Secure {
		t.Fatalf("the log in answers %d with the cookies %v, want a secure one", in.status, in.cookies)
	}
	cookie := in.cookies[0].Name + "=" + in.cookies[0].Value
	if out := logIn("wrong"); out.status != http.StatusUnauthorized || !strings.Contains(a.Log(), "client="+browserAddr) {
		t.Errorf("a wrong password answers %d, want it refused, and the log to have the client %s", out.status, browserAddr)
	}

	lines := bufio.NewScanner(ask(http.MethodGet, "/api/v1/events?topics=stats", "", cookie, http.NoBody).body)
	event := func(which string) {
		t.Helper()
		for !strings.HasPrefix(lines.Text(), "data:") || !lines.Scan() {
			if !lines.Scan() {
				t.Fatalf("the event of %s did not come: %v", which, lines.Err())
			}
		}
	}
	event("what is there")
	a.AddMagnet(t, "films", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20))
	event("a new torrent")

	upload, contentType := largeUpload(t)
	got := ask(http.MethodPost, "/api/v1/torrents", contentType, cookie, upload)
	if said, err := io.ReadAll(got.body); got.status != http.StatusBadRequest || got.contentType != "application/problem+json" {
		t.Errorf("a large upload answers %d, %s, %v, want it to come to Shoal", got.status, said, err)
	}
}

// answer is what comes through the proxy.
type answer struct {
	status      int
	contentType string
	cookies     []*http.Cookie
	body        io.Reader
}

// largeUpload is a form with a file that is larger than nginx takes unless it is told otherwise, and no torrent.
func largeUpload(t *testing.T) (body io.Reader, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	file, err := form.CreateFormFile("torrent", "large.torrent")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write(make([]byte, 2<<20)) // to memory
	_ = form.Close()
	return &b, form.FormDataContentType()
}

// startNginx runs nginx before the appliance until the test ends. It returns where the site is, and who looks at it.
func startNginx(t *testing.T, a *appliance.Appliance) (origin string, browser *http.Client) {
	t.Helper()
	page, err := os.ReadFile("../../docs/reverse-proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	found := nginxBlock.FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/reverse-proxy.md has no lines for nginx")
	}
	dir, server, port := t.TempDir(), string(found[1]), strconv.Itoa(appliance.FreePort(t))
	pool := writeCertificate(t, dir)
	for from, to := range map[string]string{
		"listen 443 ssl;":    "listen 127.0.0.1:" + port + " ssl;",
		"/etc/ssl/shoal.pem": filepath.Join(dir, "cert.pem"),
		"/etc/ssl/shoal.key": filepath.Join(dir, "key.pem"),
		"127.0.0.1:4444":     "127.0.0.1:" + strconv.Itoa(a.HTTPPort),
	} {
		if strings.Count(server, from) != 1 {
			t.Fatalf("docs/reverse-proxy.md has not once %q in the lines for nginx", from)
		}
		server = strings.Replace(server, from, to, 1)
	}
	config := "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\nhttp { access_log off;\n"
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += fmt.Sprintf("%[1]s_temp_path %[1]s;\n", name)
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config+server+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("/usr/sbin/nginx", "-p", dir, "-c", path)
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", said.String())
		}
	})
	awaitPort(t, "127.0.0.1:"+port)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(browserAddr)}}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + proxyName + ":" + port, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// awaitPort waits until somebody listens.
func awaitPort(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(proxyLimit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}

// writeCertificate writes one for the proxy's name into dir, with its key, and returns whom to trust.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{proxyName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for name, b := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		text := pem.EncodeToMemory(b)
		if name == "cert.pem" {
			pool.AppendCertsFromPEM(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}
