// Package licences knows under which licences what others wrote is a part of Shoal: for the page of settings, and for those who make
// releases.
package licences

// Package is an npm package.
type Package struct {
	Name    string
	Version string
	Licence string // by SPDX identifier
}

// licences are those of the modules in the program, by SPDX identifier. go-llsqlite/adapter names none.
var licences = map[string][]string{
	"0BSD": {
		"github.com/mikelolasagasti/xz",
	},
	"Apache-2.0": {
		"github.com/RoaringBitmap/roaring/v2",
		"github.com/anacrolix/btree",
		"github.com/go-git/go-billy/v5",
		"github.com/go-logr/logr",
		"github.com/go-logr/stdr",
		"github.com/google/btree",
		"github.com/mschoch/smat",
		"github.com/prometheus/client_golang",
		"github.com/prometheus/client_model",
		"github.com/prometheus/common",
		"github.com/prometheus/procfs",
		"github.com/willscott/go-nfs",
		"go.opentelemetry.io/auto/sdk",
		"go.opentelemetry.io/otel",
		"go.opentelemetry.io/otel/metric",
		"go.opentelemetry.io/otel/trace",
	},
	"Apache-2.0, BSD-3-Clause, MIT": {
		"github.com/klauspost/compress",
	},
	"BSD-2-Clause": {
		"github.com/nwaples/rardecode/v2",
		"github.com/pkg/errors",
		"github.com/willscott/go-nfs-client",
	},
	"BSD-3-Clause": {
		"github.com/bahlo/generic-list-go",
		"github.com/bits-and-blooms/bitset",
		"github.com/bradfitz/iter",
		"github.com/edsrzf/mmap-go",
		"github.com/fsnotify/fsnotify",
		"github.com/gofrs/flock",
		"github.com/google/go-cmp",
		"github.com/gorilla/mux",
		"github.com/munnerz/goautoneg",
		"github.com/spaolacci/murmur3",
		"github.com/ulikunitz/xz",
		"golang.org/x/crypto",
		"golang.org/x/exp",
		"golang.org/x/net",
		"golang.org/x/sync",
		"golang.org/x/sys",
		"golang.org/x/text",
		"golang.org/x/time",
		"google.golang.org/protobuf",
	},
	"ISC": {
		"github.com/coder/websocket",
		"github.com/davecgh/go-spew",
		"github.com/go-llsqlite/crawshaw",
		"github.com/rasky/go-xdr",
	},
	"MIT": {
		"github.com/alecthomas/atomic",
		"github.com/anacrolix/chansync",
		"github.com/anacrolix/envpprof",
		"github.com/anacrolix/go-utp",
		"github.com/anacrolix/missinggo",
		"github.com/anacrolix/missinggo/perf",
		"github.com/anacrolix/missinggo/v2",
		"github.com/anacrolix/stm",
		"github.com/benbjohnson/immutable",
		"github.com/beorn7/perks",
		"github.com/caarlos0/env/v11",
		"github.com/cespare/xxhash",
		"github.com/cespare/xxhash/v2",
		"github.com/dustin/go-humanize",
		"github.com/huandu/xstrings",
		"github.com/klauspost/cpuid/v2",
		"github.com/mr-tron/base58",
		"github.com/multiformats/go-multihash",
		"github.com/multiformats/go-varint",
		"github.com/pion/datachannel",
		"github.com/pion/logging",
		"github.com/pion/randutil",
		"github.com/pion/sctp",
		"github.com/pion/webrtc/v4",
		"github.com/protolambda/ctxlock",
		"github.com/rs/dnscache",
		"github.com/saintfish/chardet",
		"github.com/tidwall/btree",
		"go.etcd.io/bbolt",
		"lukechampine.com/blake3",
	},
	"MPL-2.0": {
		"github.com/anacrolix/dht/v2",
		"github.com/anacrolix/generics",
		"github.com/anacrolix/log",
		"github.com/anacrolix/multiless",
		"github.com/anacrolix/sync",
		"github.com/anacrolix/torrent",
		"github.com/anacrolix/upnp",
		"github.com/anacrolix/utp",
	},
	"NOASSERTION": {
		"github.com/go-llsqlite/adapter",
	},
}

// Pages are the npm packages that make assets puts into the pages.
var Pages = []Package{
	{Name: "@picocss/pico", Version: "2.1.1", Licence: "MIT"},
	{Name: "htmx.org", Version: "4.0.1", Licence: "0BSD"},
	{Name: "uplot", Version: "1.6.32", Licence: "MIT"},
}

// GoLicence is that of Go's standard library and run time.
const GoLicence = "BSD-3-Clause"

// Of returns the licences of a module as SPDX identifiers with commas between them, NOASSERTION if it names none, and "" for a module
// that is not in the program, as only tests have it.
func Of(module string) string { return of[module] }

// of has licences by module.
var of = func() map[string]string {
	of := make(map[string]string)
	for licence, modules := range licences {
		for _, module := range modules {
			of[module] = licence
		}
	}
	return of
}()
