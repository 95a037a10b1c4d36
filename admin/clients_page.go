package admin

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"
)

var clientsPage = page{name: "clients", parts: []string{"machines", "reading", "refused"}}

// clientsView is who uses the export. The IDs of rows are the same each time that a table is made.
type clientsView struct {
	NAT         *alert // there is an address that several machines come from
	Clients     []clientRow
	MoreClients int // beside those
	Readers     []readingRow
	MoreReaders int
	Refused     []refusedRow
}

type clientRow struct {
	ID string
	Client
}

type readingRow struct {
	ID string
	Reader
	Rate int64 // in bytes per second, on average since it began
}

type refusedRow struct {
	ID string
	Refused
}

// maxRows is how many rows a table of the page has: it is sent again several times a second. The API has all.
const maxRows = 100

func (s *server) registerClientsPage(r *mux.Router) {
	s.handlePage(r, "/clients", clientsPage, s.viewClients)
}

func (s *server) viewClients(r *http.Request) (any, error) {
	clients, readers := s.seenClients(), s.seenReaders()
	v := clientsView{MoreClients: max(len(clients)-maxRows, 0), MoreReaders: max(len(readers)-maxRows, 0)}
	if found := s.seenNAT(); found != nil {
		l := s.locale(r)
		v.NAT = &alert{Text: found.what(l), Link: s.url("/connect"), LinkText: l.T("nat.link")}
	}
	for _, c := range clients[:len(clients)-v.MoreClients] {
		c.Machine = visible(c.Machine)
		c.Machines = slices.Clone(c.Machines)
		for i := range c.Machines {
			c.Machines[i] = visible(c.Machines[i])
		}
		c.Mounts = slices.Clone(c.Mounts)
		for i := range c.Mounts {
			c.Mounts[i].Path = visible(c.Mounts[i].Path)
		}
		v.Clients = append(v.Clients, clientRow{"c-" + c.Addr.String(), c})
	}
	for _, r := range readers[:len(readers)-v.MoreReaders] {
		id := fmt.Sprintf("r-%s-%s-%s-%x", r.Protocol, r.Client, r.Infohash, hashOf(r.Path))
		r.Path = visible(r.Path)
		v.Readers = append(v.Readers, readingRow{id, r, averageRate(&r)})
	}
	for _, r := range s.refused() {
		v.Refused = append(v.Refused, refusedRow{"x-" + r.Addr.String(), r})
	}
	return v, nil
}

// averageRate is how fast a reader has read so far.
func averageRate(r *Reader) int64 {
	took := max(r.LastRead.Sub(r.Since), time.Second)
	return int64(float64(r.BytesRead) / took.Seconds())
}

// hashOf is short for a text of any length.
func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // cannot fail
	return h.Sum64()
}
