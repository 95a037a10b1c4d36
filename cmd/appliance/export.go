package main

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"shoal/admin"
	"shoal/archive"
	"shoal/nfsfs"
	"shoal/torrents"
)

// What the export knows of its clients, as the admin site shows it: neither knows the other.

// clients returns a function that lists the export's clients.
func clients(export *nfsfs.Server) func() []admin.Client {
	return func() []admin.Client {
		mounts := make(map[netip.Addr][]admin.Mount)
		for _, m := range export.Mounts() {
			mounts[m.Client] = append(mounts[m.Client], admin.Mount{Path: m.Path, Since: m.Since})
		}
		var list []admin.Client
		for _, c := range export.Clients() {
			var machines []string
			for _, m := range c.Machines {
				machines = append(machines, m.Name)
			}
			list = append(list, admin.Client{
				Addr: c.Addr, Machine: c.Machine, Machines: machines, Connections: c.Connections, Mounts: mounts[c.Addr],
				Calls: c.Calls, BytesRead: c.BytesRead, FirstSeen: c.First, LastSeen: c.Last,
			})
		}
		return list
	}
}

// siteExport is how clients reach the export, and who may.
func siteExport(export *nfsfs.Server, allow []netip.Prefix) admin.Export {
	at := export.Addr().AddrPort()
	return admin.Export{
		Addr: at.Addr().Unmap(), Port: int(at.Port()), Portmapped: export.Portmapped(), Allow: allow,
		Refused: func() []admin.Refused {
			var list []admin.Refused
			for _, r := range export.Refused() {
				list = append(list, admin.Refused{Addr: r.Addr, Calls: r.Calls, FirstSeen: r.First, LastSeen: r.Last})
			}
			return list
		},
		NAT: func() *admin.NAT {
			found, ok := export.NAT()
			if !ok {
				return nil
			}
			return &admin.NAT{Kind: admin.NATKind(found.Kind), Addr: found.Addr, Machines: found.Machines}
		},
	}
}

// readers returns a function that lists who reads what of the export.
func readers(export *nfsfs.Server) func() []admin.Reader {
	return func() []admin.Reader {
		var list []admin.Reader
		for _, r := range export.Readers() {
			ih, _ := r.Node.Infohash() // nothing but torrents has files
			list = append(list, admin.Reader{
				Protocol: admin.ProtocolNFS, Client: r.Client, Path: "/" + strings.Join(r.Node.Path(), "/"), Infohash: torrents.Infohash(ih),
				Size: r.Node.Attr().Size, Offset: r.Offset, BytesRead: r.BytesRead, Since: r.First, LastRead: r.Last,
			})
		}
		return list
	}
}

// metricSources are what metrics are of.
type metricSources struct {
	export   *nfsfs.Server
	requests *admin.RequestMetrics
	stats    func() torrents.Stats
	inside   func() archive.Stats
	torrents func() []torrents.Torrent // nil for no metrics of single torrents
}

// metrics returns the handler that Prometheus asks.
func metrics(of metricSources, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(of.registry(), promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)})
}

// registry returns what Prometheus is told: of the export, the admin site, the library, this process and this build.
func (of *metricSources) registry() *prometheus.Registry {
	b := thisBuild()
	about := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shoal_build_info", Help: "1, with the build of Shoal as labels.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "goversion": b.goVersion},
	})
	about.Set(1)
	// Not the default registry, to which any package may add what it likes.
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		of.export, of.requests, newSwarmMetrics(of.stats, of.delivered), newArchiveMetrics(of.inside), about,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if of.torrents != nil {
		registry.MustRegister(newTorrentMetrics(of.torrents))
	}
	return registry
}

// delivered returns how many bytes of files clients were sent, over NFS and HTTP.
func (of *metricSources) delivered() uint64 {
	return of.export.BytesRead() + of.requests.ContentBytes()
}
