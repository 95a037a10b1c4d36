package torrents

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/tracker"
	"github.com/anacrolix/torrent/types/infohash"
)

// observer hears from the engine what it tells of torrents in the swarm only when it happens.
type observer struct {
	swarm       atomic.Pointer[swarm] // nil while the engine starts
	connections connections
}

// observe makes an engine of this configuration tell the observer.
func observe(cfg *torrent.ClientConfig) *observer {
	o := &observer{}
	cfg.Callbacks.PeerConnAdded = append(cfg.Callbacks.PeerConnAdded, o.connections.added)
	cfg.Callbacks.PeerConnClosed = o.connections.closed
	cfg.Callbacks.ReadMessage = o.connections.read
	cfg.FailedAnnounceMinInterval, cfg.FailedAnnounceMaxInterval = failedPause, maxFailedPause
	cfg.Slogger = slog.New(announceLog{cfg.Slogger.Handler(), o})
	return o
}

func (o *observer) member(ih Infohash) *member {
	s := o.swarm.Load()
	if s == nil {
		return nil
	}
	return s.member(ih)
}

// announceLog takes from what the engine logs how its announces go: v1.62.0 has no other way to learn it,
// as StatusUpdated is for trackers of WebTorrent alone. Other records pass as they are.
type announceLog struct {
	slog.Handler
	observer *observer
}

func (h announceLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := h.Handler.WithAttrs(attrs)
	var ih infohash.T
	var address string
	known := false
	for _, a := range attrs {
		switch a.Key {
		case "short infohash":
			ih, known = a.Value.Any().(infohash.T)
		case "url":
			address = a.Value.String()
		}
	}
	if known && address != "" {
		return oneAnnounceLog{next, h.observer, Infohash(ih), address}
	}
	return announceLog{next, h.observer}
}

func (h announceLog) WithGroup(name string) slog.Handler {
	return announceLog{h.Handler.WithGroup(name), h.observer}
}

// oneAnnounceLog is the log of one announce.
type oneAnnounceLog struct {
	slog.Handler
	observer *observer
	infohash Infohash
	address  string
}

func (h oneAnnounceLog) Enabled(context.Context, slog.Level) bool { return true }

func (h oneAnnounceLog) Handle(ctx context.Context, r slog.Record) error {
	if m := h.observer.member(h.infohash); m != nil {
		switch r.Message {
		case "announcing":
			m.announces.change(h.address, (*announce).begin)
		case "announced":
			resp, err := announceResult(r)
			m.announces.change(h.address, func(a *announce) { a.end(time.Now(), resp, err) })
		}
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func announceResult(r slog.Record) (resp tracker.AnnounceResponse, err error) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "resp":
			resp, _ = a.Value.Any().(tracker.AnnounceResponse)
		case "err":
			err, _ = a.Value.Any().(error)
		}
		return true
	})
	return resp, err
}

func (h oneAnnounceLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h oneAnnounceLog) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
