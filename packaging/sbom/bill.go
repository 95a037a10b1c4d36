package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"shoal/cmd/appliance/licences"
)

// bill is a bill of materials as CycloneDX 1.6 has it, https://cyclonedx.org/docs/1.6/json/, as far as we have something to say.
type bill struct {
	Schema      string      `json:"$schema"`
	BOMFormat   string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licences   []licence  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	Expression string `json:"expression"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// encodeBill returns the bill of a program.
func encodeBill(info *debug.BuildInfo, digest, version string) ([]byte, error) {
	version = cmp.Or(version, info.Main.Version)
	program := component{
		Type: "application", Ref: "pkg:generic/shoal@" + version, Name: "shoal", Version: version,
		Hashes: []hash{{"SHA-256", digest}}, Licences: []licence{{"MIT"}},
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "GOARM", "GO386", "GOAMD64", "CGO_ENABLED", "vcs.revision":
			program.Properties = append(program.Properties, property{"build:" + s.Key, s.Value})
		}
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	parts := []component{library("pkg:golang/std@"+goVersion, "std", goVersion, licences.GoLicence)}
	for _, p := range licences.Pages {
		parts = append(parts, library("pkg:npm/"+strings.Replace(p.Name, "@", "%40", 1)+"@"+p.Version, p.Name, p.Version, p.Licence))
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version == "" || m.Replace != nil && strings.HasPrefix(m.Replace.Path, ".") {
			continue // ours, under the name of another's
		}
		if m.Replace != nil {
			m = m.Replace
		}
		known := licences.Of(m.Path)
		if known == "" {
			return nil, fmt.Errorf("no licence is known of %s; name it in package licences", m.Path)
		}
		parts = append(parts, library("pkg:golang/"+m.Path+"@"+m.Version, m.Path, m.Version, known))
	}
	slices.SortFunc(parts, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(bill{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{program}, Components: parts,
	})
	return b.Bytes(), err
}

// library is a component by others. Several licences hold all together, each for a part of it.
func library(purl, name, version, known string) component {
	c := component{Type: "library", Ref: purl, Name: name, Version: version, PURL: purl}
	if known != "NOASSERTION" {
		c.Licences = []licence{{strings.ReplaceAll(known, ", ", " AND ")}}
	}
	return c
}

// digest returns the SHA-256 of a file in hexadecimal.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
