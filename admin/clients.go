package admin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

// Client is a machine that has made NFS calls.
type Client struct {
	Addr        netip.Addr `json:"address"`
	Machine     string     `json:"machine"`  // what it calls itself; may be empty
	Machines    []string   `json:"machines"` // all that it has called itself lately: several machines, where addresses are translated
	Connections int        `json:"connections"`
	Mounts      []Mount    `json:"mounts"` // as far as it told
	Calls       uint64     `json:"calls"`
	BytesRead   uint64     `json:"bytes_read"`
	FirstSeen   time.Time  `json:"first_seen"`
	LastSeen    time.Time  `json:"last_seen"`
}

// Mount is a folder that a client has mounted.
type Mount struct {
	Path  string    `json:"path"`
	Since time.Time `json:"since"`
}

// Refused is an address that has made NFS calls, and may not.
type Refused struct {
	Addr      netip.Addr `json:"address"`
	Calls     uint64     `json:"calls"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
}

// Protocol is how a client reads.
type Protocol string

// The protocols.
const (
	ProtocolNFS  Protocol = "nfs"
	ProtocolHTTP Protocol = "http"
)

// Reader is a client that reads a file.
type Reader struct {
	Protocol  Protocol          `json:"protocol"`
	Client    netip.Addr        `json:"client"`
	Path      string            `json:"path"` // from the root down, as it is now
	Infohash  torrents.Infohash `json:"infohash"`
	Size      int64             `json:"size"`
	Offset    int64             `json:"offset"`     // behind the last byte that it got
	BytesRead uint64            `json:"bytes_read"` // of this file
	Since     time.Time         `json:"since"`
	LastRead  time.Time         `json:"last_read"`
}

func (s *server) registerClients(api *mux.Router) {
	api.HandleFunc("/clients", s.listClients).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/readers", s.listReaders).Methods(http.MethodGet, http.MethodHead)
}

// clientList is the clients on the wire.
type clientList struct {
	Clients []Client  `json:"clients"`
	Refused []Refused `json:"refused"`
	NAT     *NAT      `json:"nat"`
}

func newClientList(clients []Client, refused []Refused, nat *NAT) clientList {
	list := clientList{Clients: []Client{}, Refused: append([]Refused{}, refused...)}
	if nat != nil {
		list.NAT = &NAT{nat.Kind, nat.Addr, append([]string{}, nat.Machines...)}
	}
	for _, c := range clients {
		if c.Mounts == nil {
			c.Mounts = []Mount{}
		}
		if c.Machines == nil {
			c.Machines = []string{}
		}
		list.Clients = append(list.Clients, c)
	}
	return list
}

// refused lists the addresses that were refused last.
func (s *server) refused() []Refused {
	if s.export.Refused == nil {
		return nil
	}
	return s.export.Refused()
}

func (s *server) listClients(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", newClientList(s.clients(), s.refused(), s.nat()))
}

// readerList is the readers on the wire.
type readerList struct {
	Readers []Reader `json:"readers"`
}

func newReaderList(readers []Reader) readerList { return readerList{append([]Reader{}, readers...)} }

func (s *server) listReaders(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", newReaderList(s.readers()))
}

// serveMetrics answers Prometheus.
func (s *server) serveMetrics(w http.ResponseWriter, r *http.Request) { s.metrics.ServeHTTP(w, r) }
