package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/alertmanager/config"
)

type verdict struct {
	// Why the configuration is refused; empty if it is taken.
	Error string `json:"error"`
}

// Loads {"config": "<a YAML document>"} as Alertmanager does when it starts and reloads.
func load(line []byte) (any, error) {
	var request struct {
		Config string `json:"config"`
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "amoracle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "alertmanager.yaml")
	if err := os.WriteFile(file, []byte(request.Config), 0o600); err != nil {
		return nil, err
	}
	return verdict{Error: loadFile(file)}, nil
}

// Alertmanager panics at some configurations, which is a refusal, too.
func loadFile(file string) (refusal string) {
	defer func() {
		if cause := recover(); cause != nil {
			refusal = fmt.Sprint("panic: ", cause)
		}
	}()
	if _, err := config.LoadFile(file); err != nil {
		return err.Error()
	}
	return ""
}
