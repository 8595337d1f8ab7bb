// Prometheus3 scrapes one target with Prometheus 3's own scraper and counts how often it was up.
//
//	prometheus3 ADDRESS SCRAPES
//
// It prints {"version", "scrapes", "up", "error"} as JSON; "error" is the last scrape's that failed.
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

const (
	job           = "lossd"
	configuration = `
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: lossd}]
`
)

// upCounter is a storage that keeps nothing but the values of `up`.
type upCounter struct {
	wanted int
	done   chan struct{} // closed after the wanted scrapes

	mu      sync.Mutex
	scrapes int
	up      int
}

func (c *upCounter) AppenderV2(context.Context) storage.AppenderV2 { return c }
func (c *upCounter) Commit() error                                 { return nil }
func (c *upCounter) Rollback() error                               { return nil }

func (c *upCounter) Append(_ storage.SeriesRef, series labels.Labels, _, _ int64, value float64,
	_ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if series.Get(model.MetricNameLabel) != "up" {
		return 1, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scrapes == c.wanted {
		return 1, nil
	}
	c.scrapes++
	if value == 1 {
		c.up++
	}
	if c.scrapes == c.wanted {
		close(c.done)
	}
	return 1, nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: prometheus3 ADDRESS SCRAPES")
	}
	wanted, err := strconv.Atoi(os.Args[2])
	check(err)
	counter := &upCounter{wanted: wanted, done: make(chan struct{})}
	manager := scraping(os.Args[1], counter)
	<-counter.done
	var last string
	for _, target := range manager.TargetsActive()[job] {
		if err := target.LastError(); err != nil {
			last = err.Error()
		}
	}
	manager.Stop()
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"version": version(), "scrapes": counter.scrapes, "up": counter.up, "error": last,
	}))
}

// scraping returns a manager that scrapes the address until it is stopped.
func scraping(address string, counter *upCounter) *scrape.Manager {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	manager, err := scrape.NewManager(nil, logger, nil, nil, counter, prometheus.NewRegistry())
	check(err)
	loaded, err := config.Load(configuration, logger)
	check(err)
	check(manager.ApplyConfig(loaded))
	groups := make(chan map[string][]*targetgroup.Group, 1)
	target := model.LabelSet{model.AddressLabel: model.LabelValue(address)}
	groups <- map[string][]*targetgroup.Group{
		job: {{Targets: []model.LabelSet{target}, Source: "soak"}},
	}
	go func() { check(manager.Run(groups)) }()
	return manager
}

// version returns the version of the module, in which Prometheus 3.16 is v0.316.
func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/prometheus/prometheus" {
			return module.Version
		}
	}
	return "unknown"
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
