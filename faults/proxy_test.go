package faults

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy is the network between instances and Redis. A test can break it.
type proxy struct {
	t    testing.TB
	addr string
	p    *toxiproxy.Proxy
}

// toxic is one way to break the network, as toxiproxy's API has it.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // "upstream" to Redis, "downstream" from it
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

// What each toxic does to every connection:
var (
	slow     = toxic{"latency", "downstream", 1, map[string]any{"latency": 100, "jitter": 50}}                        // replies are late
	silent   = toxic{"timeout", "downstream", 1, map[string]any{"timeout": 0}}                                        // no reply arrives
	deaf     = toxic{"timeout", "upstream", 1, map[string]any{"timeout": 0}}                                          // no command arrives
	reset    = toxic{"reset_peer", "downstream", 1, map[string]any{"timeout": 20}}                                    // it is reset after 20 ms
	sliced   = toxic{"slicer", "downstream", 1, map[string]any{"average_size": 16, "size_variation": 8, "delay": 20}} // replies arrive in small pieces
	replyCut = toxic{"limit_data", "downstream", 1, map[string]any{"bytes": 0}}                                       // it breaks at the first byte of a reply
)

// newProxy starts a proxy to the server at upstream. It ends with the test.
func newProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &proxy{t: t, addr: p.Listen, p: p}
}

// poison adds a toxic to all connections, present and future ones.
func (p *proxy) poison(x toxic) {
	p.t.Helper()
	b, err := json.Marshal(x)
	if err == nil {
		_, err = p.p.Toxics.AddToxicJson(strings.NewReader(string(b)))
	}
	if err != nil {
		p.t.Errorf("toxic %s: %v", x.Type, err)
	}
}

// heal removes all toxics.
func (p *proxy) heal() { p.p.Toxics.ResetToxics(context.Background()) }
