package admin

import (
	"net/http"
	"testing"

	"shoal/torrents"
)

func TestLimits(t *testing.T) {
	s := openSite(t)
	cache, environment := limitJSON{testCacheLimit, "environment"}, limitJSON{0, "environment"}
	for _, test := range []struct {
		body string
		want limitsJSON
	}{
		{`{}`, limitsJSON{cache, environment, environment}},
		{`{"cache_limit": "1.5GiB"}`, limitsJSON{limitJSON{1.5 * (1 << 30), "api"}, environment, environment}},
		{`{"down_limit": "10MB", "up_limit": 7}`, limitsJSON{limitJSON{1.5 * (1 << 30), "api"}, limitJSON{10_000_000, "api"}, limitJSON{7, "api"}}},
		{`{"down_limit": null, "cache_limit": 0}`, limitsJSON{limitJSON{0, "api"}, environment, limitJSON{7, "api"}}},
		{`{"up_limit": null, "cache_limit": null}`, limitsJSON{cache, environment, environment}},
	} {
		a := s.json(t, http.MethodPatch, "/api/v1/limits", test.body)
		wantStatus(t, a, http.StatusOK)
		found := s.get(t, "/api/v1/limits")
		wantStatus(t, found, http.StatusOK)
		if got, then := decode[limitsJSON](t, a), decode[limitsJSON](t, found); got != test.want || then != got {
			t.Errorf("PATCH %s answers %+v and GET then %+v, want %+v", test.body, got, then, test.want)
		}
	}
	for _, body := range []string{
		``, `[]`, `{"cache_limit": -1}`, `{"cache_limit": 1.5}`, `{"cache_limit": "-1"}`, `{"cache_limit": "lots"}`,
		`{"cache_limit": ""}`, `{"cache_limit": "16EiB"}`, `{"cache_limit": 9223372036854775808}`, `{"cache_limit": true}`,
		`{"cache_limit": [1]}`, `{"down_limit": {}}`, `{"up_limit": "1 2"}`, `{"limit": 1}`, `{"up_limit": 1, "down_limit": "x"}`,
	} {
		if a := s.json(t, http.MethodPatch, "/api/v1/limits", body); a.status != http.StatusBadRequest {
			t.Errorf("PATCH %s answers %d %s, want %d", body, a.status, a.body, http.StatusBadRequest)
		}
	}
	if got, want := s.library.Limits(), (torrents.Limits{Cache: torrents.Limit{Value: testCacheLimit}}); got != want {
		t.Errorf("afterwards the limits are %+v, want %+v", got, want)
	}
}
