// Command amoracle says what the real Alertmanager thinks, by linking its packages: `amoracle load` of configurations,
// `amoracle match` of regular expressions, `amoracle route` of label sets. It reads one JSON object a line and answers each
// with one line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
)

// A command answers one line. What it returns is written as JSON.
var commands = map[string]func(line []byte) (any, error){
	"load":  load,
	"match": match,
	"route": route,
}

func main() {
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: amoracle load|match|route <requests >answers")
		os.Exit(2)
	}
	if err := serve(commands[os.Args[1]], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "amoracle:", err)
		os.Exit(1)
	}
}

// Answers each line, in the mode that Alertmanager runs in by default.
func serve(answer func([]byte) (any, error), in io.Reader, out io.Writer) error {
	logger := slog.New(slog.DiscardHandler)
	flags, err := featurecontrol.NewFlags(logger, "")
	if err != nil {
		return err
	}
	compat.InitFromFlags(logger, flags)

	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	buffered := bufio.NewWriter(out)
	answers := json.NewEncoder(buffered)
	for lines.Scan() {
		value, err := answer(lines.Bytes())
		if err != nil {
			return err
		}
		if err := answers.Encode(value); err != nil {
			return err
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}
