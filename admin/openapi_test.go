package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"shoal/torrents"
	"shoal/web"
)

// description is openapi.yaml as far as it is compared with the code.
var description = sync.OnceValues(func() (any, error) {
	var doc any
	err := yaml.Unmarshal(web.OpenAPI, &doc)
	return doc, err
})

// described is what the description has below the keys; nil if there is no such thing.
func described(t testing.TB, keys ...string) any {
	t.Helper()
	at, err := description()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		object, _ := at.(map[string]any)
		at = object[key]
	}
	return at
}

// describedTexts is a list of texts in the description.
func describedTexts(t testing.TB, keys ...string) []string {
	t.Helper()
	list, ok := described(t, keys...).([]any)
	if !ok {
		t.Fatalf("openapi.yaml has no list at %q", keys)
	}
	texts := make([]string, len(list))
	for i := range list {
		texts[i], _ = list[i].(string)
	}
	return texts
}

// parameter is the schema of a parameter of GET /api/v1/torrents.
func parameter(t testing.TB, name string) map[string]any {
	t.Helper()
	list, _ := described(t, "paths", "/api/v1/torrents", "get", "parameters").([]any)
	for _, p := range list {
		if p, _ := p.(map[string]any); p["name"] == name {
			schema, _ := p["schema"].(map[string]any)
			return schema
		}
	}
	t.Fatalf("openapi.yaml has no parameter %q of GET /api/v1/torrents", name)
	return nil
}

// checkDocumented checks that openapi.yaml tells of the status that a request was answered with.
func checkDocumented(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	template := matched(t, r)
	// What no route answers is in no description; and these can happen to any call.
	if template == "" || (call{template: template}).isPage() || slices.Contains([]int{
		http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusInsufficientStorage,
	}, a.status) {
		return
	}
	method := strings.ToLower(r.Method)
	if r.Method == http.MethodHead {
		method = "get"
	}
	if described(t, "paths", template, method, "responses", strconv.Itoa(a.status)) == nil {
		t.Errorf("%s answers %d %s, and openapi.yaml does not tell of that", a.what, a.status, a.body)
	}
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	served := make(map[string]bool)
	for _, c := range calls(t) {
		if c.isPage() {
			continue
		}
		served[c.method+" "+c.template] = true
	}
	paths, _ := described(t, "paths").(map[string]any)
	told := make(map[string]bool)
	for path := range paths {
		operations, _ := paths[path].(map[string]any)
		for method := range operations {
			if method == "parameters" {
				continue
			}
			told[strings.ToUpper(method)+" "+path] = true
			if method == "get" { // HEAD goes without saying
				told["HEAD "+path] = true
			}
		}
	}
	for _, c := range slices.Sorted(maps.Keys(served)) {
		if !told[c] {
			t.Errorf("the router serves %s, which openapi.yaml does not have", c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(told)) {
		if !served[c] {
			t.Errorf("openapi.yaml has %s, which the router does not serve", c)
		}
	}
}

// TestOpenAPIPathVariables checks that a variable in a path is declared, by the same name.
func TestOpenAPIPathVariables(t *testing.T) {
	variables := regexp.MustCompile(`\{([^}]*)\}`)
	paths, _ := described(t, "paths").(map[string]any)
	for path := range paths {
		var declared, used []string
		list, _ := described(t, "paths", path, "parameters").([]any)
		for _, p := range list {
			if p, _ := p.(map[string]any); p["in"] == "path" {
				declared = append(declared, fmt.Sprint(p["name"]))
			}
		}
		for _, m := range variables.FindAllStringSubmatch(path, -1) {
			used = append(used, m[1])
		}
		if !slices.Equal(declared, used) {
			t.Errorf("openapi.yaml: the path %s declares the parameters %q, want %q", path, declared, used)
		}
	}
}

func TestOpenAPIReferences(t *testing.T) {
	root := described(t)
	refs := 0
	var look func(at any)
	look = func(at any) {
		switch at := at.(type) {
		case []any:
			for _, v := range at {
				look(v)
			}
		case map[string]any:
			if ref, ok := at["$ref"].(string); ok {
				refs++
				if !resolves(root, ref) {
					t.Errorf("openapi.yaml: nothing is at $ref %q", ref)
				}
			}
			for _, v := range at {
				look(v)
			}
		}
	}
	look(root)
	if refs == 0 {
		t.Error("openapi.yaml has no $ref: this test looks for them wrongly")
	}
}

// resolves says whether a reference (JSON pointer, RFC 6901) is to something in the document.
func resolves(root any, ref string) bool {
	rest, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return false // another document
	}
	for key := range strings.SplitSeq(rest, "/") {
		object, _ := root.(map[string]any)
		if root, ok = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]; !ok {
			return false
		}
	}
	return true
}

// TestOpenAPIOperations checks what clients that are generated need: names that differ, and a
// problem for the token that is missing.
func TestOpenAPIOperations(t *testing.T) {
	seen := make(map[string]string)
	for _, c := range calls(t) {
		if c.isPage() {
			continue
		}
		if c.method == http.MethodHead {
			continue
		}
		method := strings.ToLower(c.method)
		name, _ := described(t, "paths", c.template, method, "operationId").(string)
		if twin := seen[name]; name == "" || twin != "" {
			t.Errorf("openapi.yaml: %s %s has the operationId %q, like %q", c.method, c.template, name, twin)
		}
		seen[name] = c.method + " " + c.template
		open, isOpen := described(t, "paths", c.template, method, "security").([]any)
		if got, want := isOpen && len(open) == 0, c.template == healthPath; got != want {
			t.Errorf("openapi.yaml: %s %s needs no token: %t, want %t", c.method, c.template, got, want)
		}
		has401 := described(t, "paths", c.template, method, "responses", "401") != nil
		if want := c.template != healthPath; has401 != want {
			t.Errorf("openapi.yaml: %s %s tells of 401: %t, want %t", c.method, c.template, has401, want)
		}
	}
}

// TestOpenAPISchemas compares the members of what is sent with the schemas.
func TestOpenAPISchemas(t *testing.T) {
	full := problem{Title: "t", Status: 1, Detail: "d", Infohash: "i", Route: "r", Name: "n"}
	for schema, sent := range map[string]any{
		"Route": routeJSON{}, "Torrent": torrentJSON{}, "Problem": full, "Client": Client{}, "Mount": Mount{}, "Reader": Reader{}, "Entry": entryJSON{},
		"Limits": limitsJSON{}, "Limit": limitJSON{},
		"Preview": previewJSON{}, "PreviewFile": previewFileJSON{}, "PreviewKnown": previewKnownJSON{},
		"LogRecord": recordJSON{}, "LogAttr": attrJSON{},
		"TorrentsEvent": torrentsEvent{}, "PiecesEvent": piecesEvent{}, "LogsEvent": logsEvent{},
		"Archive": Archive{}, "Watch": watchJSON{}, "WatchFile": watchFileJSON{Infohash: "i", Error: "e"},
		"File": fileJSON{}, "Peer": peerJSON{}, "Availability": availabilityJSON{}, "Tracker": trackerJSON{}, "Stats": statsJSON{},
		"History": historyJSON{},
	} {
		b, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatal(err)
		}
		properties, _ := described(t, "components", "schemas", schema, "properties").(map[string]any)
		got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(members))
		if !slices.Equal(got, want) {
			t.Errorf("openapi.yaml: the schema %s has %q, and sent is %q", schema, got, want)
		}
	}
}

// TestOpenAPIValues compares what the description allows with what the code does.
func TestOpenAPIValues(t *testing.T) {
	var wantStates []string
	for _, s := range torrents.States() {
		wantStates = append(wantStates, string(s))
	}
	if got := describedTexts(t, "components", "schemas", "State", "enum"); !slices.Equal(got, wantStates) {
		t.Errorf("openapi.yaml has the states %q, want %q", got, wantStates)
	}
	for path, want := range map[[2]string][]string{
		{"Peer", "found"}: {
			string(torrents.FoundByTracker), string(torrents.FoundByDHT), string(torrents.FoundByPEX), string(torrents.FoundByLSD),
			string(torrents.FoundIncoming), string(torrents.FoundFixed), string(torrents.FoundWebSeed),
		},
		{"Tracker", "kind"}: {
			string(torrents.KindTracker), string(torrents.KindDHT), string(torrents.KindPEX), string(torrents.KindLSD),
		},
		{"Tracker", "status"}: {
			string(torrents.TrackerIdle), string(torrents.TrackerAnnouncing), string(torrents.TrackerOK),
			string(torrents.TrackerFailed), string(torrents.TrackerOff),
		},
	} {
		if got := describedTexts(t, "components", "schemas", path[0], "properties", path[1], "enum"); !slices.Equal(got, want) {
			t.Errorf("openapi.yaml has for %s.%s the values %q, want %q", path[0], path[1], got, want)
		}
	}
	wantFlags := []string{
		string(torrents.FlagSeed), string(torrents.FlagChoking), string(torrents.FlagInterested), string(torrents.FlagWanted),
	}
	if got := describedTexts(t, "components", "schemas", "Peer", "properties", "flags", "items", "enum"); !slices.Equal(got, wantFlags) {
		t.Errorf("openapi.yaml has the flags %q, want %q", got, wantFlags)
	}
	wantArchives := []string{
		string(torrents.ArchivesFolder), string(torrents.ArchivesBoth), string(torrents.ArchivesOff),
	}
	if got := describedTexts(t, "components", "schemas", "Archives", "enum"); !slices.Equal(got, wantArchives) {
		t.Errorf("openapi.yaml has the archives %q, want %q", got, wantArchives)
	}
	var wantArchiveStates []string
	for _, s := range ArchiveStates() {
		wantArchiveStates = append(wantArchiveStates, string(s))
	}
	if got := describedTexts(t, "components", "schemas", "ArchiveState", "enum"); !slices.Equal(got, wantArchiveStates) {
		t.Errorf("openapi.yaml has the states of archives %q, want %q", got, wantArchiveStates)
	}
	if got := described(t, "components", "schemas", "ArchivePlace", "pattern"); got != archivePlace.String() {
		t.Errorf("openapi.yaml has the pattern %q for the place of an archive, want %q", got, archivePlace)
	}
	limit := parameter(t, "limit")
	if limit["default"] != defaultLimit || limit["maximum"] != maxLimit || limit["minimum"] != 1 {
		t.Errorf("openapi.yaml has the limit %v, want 1 to %d and by default %d", limit, maxLimit, defaultLimit)
	}
	pattern, _ := parameter(t, "sort")["pattern"].(string)
	inside := regexp.MustCompile(`^\^-\?\((.*)\)\$$`).FindStringSubmatch(pattern)
	if inside == nil {
		t.Fatalf("openapi.yaml has the pattern %q for sort, and this test knows ^-?(a|b)$", pattern)
	}
	got := slices.Sorted(strings.SplitSeq(inside[1], "|"))
	if want := slices.Sorted(maps.Keys(sorts)); !slices.Equal(got, want) {
		t.Errorf("openapi.yaml lets sort by %q, want %q", got, want)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	a := openSite(t).get(t, "/api/v1/openapi.yaml")
	wantStatus(t, a, http.StatusOK)
	if string(a.body) != string(web.OpenAPI) {
		t.Errorf("GET openapi.yaml answers %.100q…, want the file in web", a.body)
	}
	if got, want := a.header.Get("Content-Type"), "application/yaml"; got != want {
		t.Errorf("GET openapi.yaml answers with the type %q, want %q", got, want)
	}
}
