package main

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// scrapeAll reads once and returns /metrics, and the names of the metrics.
func scrapeAll(t *testing.T) (text string, names []string) {
	t.Helper()
	export, site := exported(t)
	mountAndRead(t, export)
	get(t, site, "/api/v1/clients", "token", http.StatusOK) // is in the next answer
	text = string(get(t, site, "/metrics", "token", http.StatusOK))
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "TYPE" {
			names = append(names, fields[2])
			if fields[3] == "histogram" {
				names = append(names, fields[2]+"_bucket", fields[2]+"_sum", fields[2]+"_count")
			}
		}
	}
	return text, names
}

// TestMetricNames lets Prometheus's own linter look at everything.
func TestMetricNames(t *testing.T) {
	text, _ := scrapeAll(t)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "shoal_") { // others are those of the Go runtime
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// metricName is what is taken for the name of a metric in a dashboard.
var metricName = regexp.MustCompile(`\b(?:shoal|go|process)_[a-z0-9_]+\b`)

// queries collects the values that have one of the keys of queries, anywhere in a dashboard.
func queries(in any, list []string) []string {
	switch in := in.(type) {
	case map[string]any:
		for key, value := range in {
			if text, ok := value.(string); ok && (key == "expr" || key == "query" || key == "definition") {
				list = append(list, text)
			}
			list = queries(value, list)
		}
	case []any:
		for _, value := range in {
			list = queries(value, list)
		}
	}
	return list
}

// TestDashboard compares the metrics of the dashboard with those that there are: it asks for none that is not there, and shows all of ours.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../docs/grafana/shoal.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard map[string]any
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatalf("the dashboard is no JSON: %v", err)
	}
	_, names := scrapeAll(t)
	shown := make(map[string]bool)
	for _, q := range queries(dashboard, nil) {
		for _, name := range metricName.FindAllString(q, -1) {
			shown[name] = true
			if !slices.Contains(names, name) {
				t.Errorf("the dashboard asks for %s, which is no metric: %s", name, q)
			}
		}
	}
	if len(shown) < 30 {
		t.Errorf("the dashboard asks for %d metrics only", len(shown))
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") || !strings.HasPrefix(name, "shoal_") {
			continue
		}
		if !shown[name] && !shown[name+"_bucket"] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	checkPanels(t, dashboard)
}

// checkPanels has every panel ask the data source that the variable names.
func checkPanels(t *testing.T, dashboard map[string]any) {
	t.Helper()
	panels, _ := dashboard["panels"].([]any)
	ids := make(map[any]bool)
	for _, p := range panels {
		panel, _ := p.(map[string]any)
		if ids[panel["id"]] {
			t.Errorf("two panels have the number %v", panel["id"])
		}
		ids[panel["id"]] = true
		if panel["type"] == "row" {
			continue
		}
		targets, _ := panel["targets"].([]any)
		for _, of := range append(targets, panel) {
			asks, _ := of.(map[string]any)
			source, _ := asks["datasource"].(map[string]any)
			if source["uid"] != "${datasource}" {
				t.Errorf("panel %q asks the data source %v, want that of the variable", panel["title"], source["uid"])
			}
		}
		if len(targets) == 0 {
			t.Errorf("panel %q asks for nothing", panel["title"])
		}
	}
	if len(ids) < 20 {
		t.Errorf("there are %d panels only", len(ids))
	}
	variables, _ := dashboard["templating"].(map[string]any)
	if b, err := json.Marshal(variables); err != nil || !strings.Contains(string(b), `"type":"datasource"`) {
		t.Errorf("the dashboard has no variable for its data source (%v)", err)
	}
}
