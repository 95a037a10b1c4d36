// Package web holds what the admin site serves: templates, styles, scripts, translations. It has no logic.
package web

import "embed"

// OpenAPI describes the API (OpenAPI 3.1).
//
//go:embed openapi.yaml
var OpenAPI []byte

// Static is what browsers load beside the pages, below the folder static. What others wrote is in static/lib, which
// `make assets` fills from npm.
//
//go:embed static
var Static embed.FS

// Templates are the pages, below the folder templates.
//
//go:embed templates
var Templates embed.FS

// Locales are the translations: locales/<language>/<group>.json.
//
//go:embed locales
var Locales embed.FS
