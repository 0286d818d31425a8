package main

import (
	"encoding/json"
	"time"

	"github.com/prometheus/common/model"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/timeinterval"
)

// Where one label set goes.
type destination struct {
	Receiver       string   `json:"receiver"`
	Matchers       string   `json:"matchers"`
	GroupBy        []string `json:"groupBy"`
	GroupByAll     bool     `json:"groupByAll"`
	GroupWait      int64    `json:"groupWait"`
	GroupInterval  int64    `json:"groupInterval"`
	RepeatInterval int64    `json:"repeatInterval"`
	// Which of its time intervals hold at the time that was asked for.
	Mute   []string `json:"mute"`
	Active []string `json:"active"`
}

type routing struct {
	// Why the configuration is refused; empty if it is taken.
	Error string `json:"error"`
	// For each label set, where it goes, in the order of the tree.
	Routes [][]destination `json:"routes"`
}

// Routes each of {"config": "<a YAML document>", "labels": [{"name": "value"}], "at": <Unix seconds>}.
func route(line []byte) (any, error) {
	var request struct {
		Config string           `json:"config"`
		Labels []model.LabelSet `json:"labels"`
		At     int64            `json:"at"`
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	loaded, err := config.Load(request.Config)
	if err != nil {
		return routing{Error: err.Error()}, nil
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, named := range loaded.TimeIntervals {
		intervals[named.Name] = named.TimeIntervals
	}
	intervener := timeinterval.NewIntervener(intervals)
	holding := func(names []string) ([]string, error) {
		_, found, err := intervener.Mutes(names, time.Unix(request.At, 0))
		return found, err
	}
	root := dispatch.NewRoute(loaded.Route, nil)
	answer := routing{}
	for _, set := range request.Labels {
		destinations := []destination{}
		for _, found := range root.Match(set) {
			options := found.RouteOpts
			to := destination{
				Receiver:       options.Receiver,
				Matchers:       found.Matchers.String(),
				GroupByAll:     options.GroupByAll,
				GroupWait:      options.GroupWait.Milliseconds(),
				GroupInterval:  options.GroupInterval.Milliseconds(),
				RepeatInterval: options.RepeatInterval.Milliseconds(),
			}
			for name := range options.GroupBy {
				to.GroupBy = append(to.GroupBy, string(name))
			}
			if to.Mute, err = holding(options.MuteTimeIntervals); err != nil {
				return nil, err
			}
			if to.Active, err = holding(options.ActiveTimeIntervals); err != nil {
				return nil, err
			}
			destinations = append(destinations, to)
		}
		answer.Routes = append(answer.Routes, destinations)
	}
	return answer, nil
}

// Compares each of {"value": "<a regular expression>", "tried": ["…"]} as a matcher does.
func match(line []byte) (any, error) {
	var request struct {
		Value string   `json:"value"`
		Tried []string `json:"tried"`
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	matcher, err := labels.NewMatcher(labels.MatchRegexp, "label", request.Value)
	if err != nil {
		return map[string]any{"error": err.Error()}, nil
	}
	answers := []bool{}
	for _, value := range request.Tried {
		answers = append(answers, matcher.Matches(value))
	}
	return map[string]any{"error": "", "matches": answers}, nil
}
