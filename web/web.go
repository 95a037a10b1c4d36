// Package web holds what the admin site serves as it is. It has no logic.
package web

import _ "embed"

// OpenAPI describes the API (OpenAPI 3.1).
//
//go:embed openapi.yaml
var OpenAPI []byte
