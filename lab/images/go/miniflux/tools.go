//go:build tools

// Keeps the program's module in go.mod; the build compiles its package.
package tools

import _ "miniflux.app/v2"
