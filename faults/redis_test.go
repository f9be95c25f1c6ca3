package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// sentinelMaster is what the sentinels call the master.
const sentinelMaster = "main"

// startSentinels starts n Redis Sentinels that watch master, and waits until each
// knows of the others and of the replicas.
func startSentinels(t testing.TB, n, replicas int, master string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for range n {
		p := redistest.FreePort(t)
		file := filepath.Join(t.TempDir(), "sentinel.conf")
		quorum := n/2 + 1
		conf := fmt.Sprintf("bind 127.0.0.1\nport %d\nloglevel warning\n"+
			"sentinel monitor %s %s %s %d\nsentinel down-after-milliseconds %s 1000\n"+
			"sentinel failover-timeout %s 5000\nsentinel parallel-syncs %s 2\n",
			p, sentinelMaster, host, port, quorum, sentinelMaster, sentinelMaster, sentinelMaster)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", file, "--sentinel")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		addrs = append(addrs, "127.0.0.1:"+strconv.Itoa(p))
	}
	for _, addr := range addrs {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr})
		if err := poll(patience, func() bool {
			m, err := c.Master(context.Background(), sentinelMaster).Result()
			return err == nil && m["num-other-sentinels"] == strconv.Itoa(n-1) && m["num-slaves"] == strconv.Itoa(replicas)
		}); err != nil {
			t.Fatalf("the sentinel %s knows the others and the replicas: %v", addr, err)
		}
		_ = c.Close()
	}
	return addrs
}

// configure sets what CONFIG SET sets, and returns how to put it back. Where Redis
// is away, it waits.
func (f *fleet) configure(name, value string) (restore func()) {
	f.t.Helper()
	ctx := context.Background()
	var old map[string]string
	persist := func(do func() error) {
		var err error
		if poll(patience, func() bool { err = do(); return err == nil }) != nil {
			f.t.Errorf("CONFIG %s: %v", name, err)
		}
	}
	persist(func() (err error) { old, err = f.rdb.ConfigGet(ctx, name).Result(); return err })
	persist(func() error { return f.rdb.ConfigSet(ctx, name, value).Err() })
	return func() { persist(func() error { return f.rdb.ConfigSet(ctx, name, old[name]).Err() }) }
}

// info returns a figure of INFO.
func info(ctx context.Context, rdb *redis.Client, section, name string) string {
	text, _ := rdb.Info(ctx, section).Result()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}
