package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"shoal/nfsfs"
)

// healthTime is how long a health check may take. Docker's default is 30 s.
const healthTime = 5 * time.Second

// healthcheck returns nil when the appliance with this configuration answers over HTTP and NFS.
func healthcheck(ctx context.Context, cfg *Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	url := "http://" + dialAddr(cfg.HTTPAddr) + strings.TrimSuffix(cfg.HTTPBasePath, "/") + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// Not through a proxy, and without keeping the connection.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("reach HTTP: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP answers %s", resp.Status)
	}
	return nfsfs.Ping(ctx, dialAddr(cfg.NFSAddr))
}

// dialAddr is where to reach a server that listens on addr.
func dialAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
