package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/alertmanager/config"
	commoncfg "github.com/prometheus/common/config"
)

type verdict struct {
	// Why the configuration is refused; empty if it is taken.
	Error string `json:"error"`
	// What it means, secrets and all, if that was asked for.
	Loaded string `json:"loaded,omitempty"`
}

// Loads {"config": "<a YAML document>"} as Alertmanager does when it starts and reloads. With "show": true the answer says
// what it has understood.
func load(line []byte) (any, error) {
	var request struct {
		Config string `json:"config"`
		Show   bool   `json:"show"`
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
	loaded, refusal := loadFile(file)
	if loaded == nil || !request.Show {
		return verdict{Error: refusal}, nil
	}
	commoncfg.MarshalSecretValue = true
	return verdict{Error: refusal, Loaded: loaded.String()}, nil
}

// Alertmanager panics at some configurations, which is a refusal, too.
func loadFile(file string) (loaded *config.Config, refusal string) {
	defer func() {
		if cause := recover(); cause != nil {
			loaded, refusal = nil, fmt.Sprint("panic: ", cause)
		}
	}()
	loaded, err := config.LoadFile(file)
	if err != nil {
		return nil, err.Error()
	}
	return loaded, ""
}
