package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/admin"
	"shoal/admin/access"
	"shoal/admin/history"
	"shoal/admin/logs"
	"shoal/nfsfs"
	"shoal/torrents"
	"shoal/tree"
)

const (
	// Of stopTime, so much is for HTTP requests that are under way.
	httpGrace = 2 * time.Second
)

// newLogger returns a logger, and what it keeps of the recent log, both without secrets.
func newLogger(cfg *Config, w io.Writer) (*slog.Logger, *logs.Recent) {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	var handler slog.Handler = slog.NewTextHandler(w, opts)
	if cfg.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, opts)
	}
	recent := logs.NewRecent(logs.DefaultRecords, logs.DefaultBytes)
	return slog.New(logs.NewHandler(handler, recent)), recent
}

// serve runs the appliance until ctx ends, and returns nil then, or until something fails.
func serve(ctx context.Context, cfg *Config, log *slog.Logger, recent *logs.Recent) error {
	log.Info("starting", "version", version())
	for _, w := range cfg.warnings {
		log.Warn("configuration", "detail", w)
	}
	// Whoever serves finds a free place whenever a call arrives, whatever the workers do. From here on Go does not follow when the
	// limit of a container is changed.
	processors := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(processors + torrents.Workers)
	defer runtime.GOMAXPROCS(processors)
	ports, err := openPorts(cfg)
	if err != nil {
		return err
	}
	if err := become(ctx, cfg, log); ctx.Err() != nil {
		return ports.close() // stopped meanwhile
	} else if err != nil {
		return errors.Join(err, ports.close())
	}
	names := tree.New(time.Now())
	inside := newArchives(cfg.CacheDir, log)
	//nolint:contextcheck // the library outlives ctx: it is closed after the servers that use it
	library, err := torrents.Open(libraryOptions(cfg, namespace{names, inside, log}, log))
	if err != nil {
		return errors.Join(explainOpen(cfg, err), ports.close())
	}
	if err = checkDisk(cfg, library, log); err == nil {
		err = inside.open(cfg, library, processors)
	}
	if err != nil {
		err = errors.Join(err, ports.close())
	} else {
		err = serveLibrary(ctx, cfg, ports, names, library, inside, log, recent)
	}
	log.Info("stopping")
	tell(cfg, notifyStopping, log)
	return errors.Join(err, inside.close(), library.Close())
}

func libraryOptions(cfg *Config, watcher torrents.Watcher, log *slog.Logger) torrents.Options {
	announceIPs, _ := parseAnnounceIPs(cfg.BTAnnounceIP) // checked with the rest
	return torrents.Options{
		DataDir:    cfg.DataDir,
		CacheDir:   cfg.CacheDir,
		Routes:     cfg.Routes,
		Archives:   cfg.Archives,
		CacheLimit: int64(cfg.CacheLimit),
		Watch:      torrents.WatchOptions{Dir: cfg.WatchDir},
		ReadGiveUp: cfg.ReadGiveUp,
		Idle:       cfg.BTIdle,
		Swarm: torrents.SwarmOptions{
			Addr: cfg.BTAddr,
			DHT:  cfg.BTDHT, PEX: cfg.BTPEX, LSD: cfg.BTLSD, UTP: cfg.BTUTP, TCP: cfg.BTTCP,
			IPv6: cfg.BTIPv6, UPnP: cfg.BTUPnP,
			Seed:      cfg.BTSeed,
			DownLimit: int64(cfg.BTDownLimit),
			UpLimit:   int64(cfg.BTUpLimit),
			MaxPeers:  cfg.BTMaxPeers,
			Peers:     cfg.BTPeers,

			ExtraTrackers: cfg.BTExtraTrackers,
			Blocklist:     cfg.BTBlocklist,
			AllowPrivate:  cfg.FetchAllowPrivate,
			Interface:     cfg.BTInterface,
			Proxy:         cfg.BTProxy,
			Encryption:    cfg.BTEncryption,
			AnnounceIPs:   announceIPs,
		},
		Watcher: watcher,
		Logger:  log,
	}
}

// ports are the open ports of the site and the export.
type ports struct {
	web    net.Listener
	export *nfsfs.Ports
}

// openPorts opens all ports before anything else is done: a taken one is an error of the start, and those below 1024 are for root.
func openPorts(cfg *Config) (*ports, error) {
	web, err := net.Listen("tcp", cfg.HTTPAddr)
	if err != nil {
		return nil, explainListen("HTTP_ADDR", cfg.HTTPAddr, err)
	}
	portmap := cfg.PortmapAddr
	if portmap == off {
		portmap = ""
	}
	export, err := nfsfs.OpenPorts(cfg.NFSAddr, portmap)
	if err != nil {
		return nil, errors.Join(explainListen("NFS_ADDR", cfg.NFSAddr, err), web.Close())
	}
	return &ports{web: web, export: export}, nil
}

func (p *ports) close() error { return errors.Join(p.web.Close(), p.export.Close()) }

// serveLibrary serves an open library on the ports, which it closes.
func serveLibrary(
	ctx context.Context, cfg *Config, ports *ports, names *tree.Tree, library *torrents.Library, inside *archives, log *slog.Logger,
	recent *logs.Recent,
) (err error) {
	web := ports.web
	export := nfsfs.New(ctx, ports.export, nfsfs.Options{
		Tree: names, Allow: cfg.NFSAllow, ReadWait: cfg.NFSReadWait, Space: space(cfg.CacheDir, log), Logger: log,
	})
	of := metricSources{export: export, requests: admin.NewRequestMetrics(), stats: library.Stats, inside: inside.stats}
	if cfg.MetricsPerTorrent {
		of.torrents = library.Torrents
	}
	who, err := openAccess(cfg, log)
	if err != nil {
		return errors.Join(err, export.Close(), web.Close())
	}
	defer func() { err = errors.Join(err, who.Close()) }()
	past := history.New(figures(&of, library))
	group, ctx := errgroup.WithContext(ctx)
	site := newSite(admin.New(admin.Options{
		Library: library, Archives: cfg.Archives, Access: who, BasePath: cfg.HTTPBasePath,
		Version: thisBuild().version, AllowedHosts: cfg.AllowedHosts, TrustedProxies: cfg.TrustedProxies, Tree: names, Inside: inside,
		Export:  siteExport(export, cfg.NFSAllow),
		Clients: clients(export), Readers: readers(export), History: past, Done: ctx.Done(),
		Metrics: metrics(of, log), Requests: of.requests, Logger: log, Logs: recent,
		Settings: cfg.settings(), Warnings: cfg.warnings, Libraries: libraries(),
	}), cfg.TrustedProxies, export.Saw, log)
	group.Go(func() error {
		if err := site.Serve(web); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	group.Go(export.Serve)
	group.Go(func() error {
		past.Run(ctx)
		return nil
	})
	if responder := newResponder(cfg, export.Addr().AddrPort(), addrPort(web), log); responder != nil {
		group.Go(func() error {
			responder.Run(ctx)
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpGrace)
		defer cancel()
		if err := site.Shutdown(grace); err != nil {
			_ = site.Close() // ends what is still under way
		}
		return export.Close()
	})
	log.Info("serving", "http", web.Addr().String(), "nfs", export.Addr().String())
	log.Info("mount it", "command", mountCommand(export))
	tell(cfg, notifyReady, log)
	return group.Wait()
}

// tell tells systemd a state. It goes on without: what has to be, systemd sees to itself.
func tell(cfg *Config, state string, log *slog.Logger) {
	if err := notify(cfg.notifySocket, state); err != nil {
		log.Warn("systemd was not told", "err", err)
	}
}

// openAccess opens the account of who may use the site, and prints the password if there was none.
func openAccess(cfg *Config, log *slog.Logger) (*access.Access, error) {
	who, err := access.Open(access.Options{
		Path: filepath.Join(cfg.DataDir, "access.json"), User: cfg.AdminUser, Password: cfg.AdminPassword, Token: cfg.APIToken, Logger: log,
	})
	if err != nil {
		return nil, explainOpen(cfg, err)
	}
	if password := who.FirstPassword(); password != "" {
		log.Warn("this is the first start: log in with this password, and change it in the settings",
			"user", who.User(), "password", logs.Once(password))
	}
	return who, nil
}

// mountCommand is what a person types on another machine.
func mountCommand(export *nfsfs.Server) string {
	if export.Portmapped() {
		return "mount -t nfs HOST:/ /mnt"
	}
	port := export.Addr().Port
	return fmt.Sprintf("mount -t nfs -o nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d HOST:/ /mnt", port)
}
