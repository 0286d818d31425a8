//go:build tools

// Package tools names the programs that this wrapper builds, so that go.mod and go.sum cover them.
package tools

import (
	_ "github.com/prometheus/alertmanager/cmd/amtool"
)
