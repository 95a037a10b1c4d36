package admin

import (
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// compressed are the types of answers that are worth it. Not streams of events, which proxies and browsers would hold back.
var compressed = []string{"text/html", "application/json", "application/problem+json", "application/yaml", "text/plain"}

// minCompressed is the smallest body that is, in bytes: what fits one packet is as quick without.
const minCompressed = 1400

// compress compresses answers for who takes that, but for files of torrents, which are served in ranges of what they are. Random padding
// hides the exact length, which would tell of secrets on a page with what a stranger made it show (BREACH, CVE-2013-3587).
func compress(base string, next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(minCompressed), gzhttp.ContentTypes(compressed), gzhttp.RandomJitter(32, 0, false), gzhttp.SuffixETag("-gzip"),
	)
	if err != nil {
		panic(err) // the options are constant
	}
	packed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, base+fsPath) || isStream(r) {
			next.ServeHTTP(w, r)
			return
		}
		packed.ServeHTTP(w, r)
	})
}
