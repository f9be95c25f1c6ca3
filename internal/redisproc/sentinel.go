package redisproc

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// SentinelMaster is the name that the sentinels have for their master.
const SentinelMaster = "main"

// Sentinels is a master, its replicas, and the sentinels that watch them.
type Sentinels struct {
	Master    *Server
	Replicas  []*Server
	Sentinels []*Server
}

// LaunchSentinels starts a master, its replicas and sentinels, and waits until the replicas
// are in sync and the sentinels know all servers. Their files are below dir. args are passed
// to each redis-server, except for the sentinels.
func LaunchSentinels(dir string, replicas, sentinels int, args ...string) (*Sentinels, error) {
	s := &Sentinels{}
	if err := s.launch(dir, replicas, sentinels, args); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Sentinels) launch(dir string, replicas, sentinels int, args []string) (err error) {
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	if s.Master, err = launchIn(dir, "master", args...); err != nil {
		return err
	}
	host, port := s.Master.hostPort()
	for i := range replicas {
		r, err := launchIn(dir, fmt.Sprintf("replica-%d", i), append(args, "--replicaof", host+" "+port)...)
		if err != nil {
			return err
		}
		s.Replicas = append(s.Replicas, r)
	}
	for _, r := range s.Replicas {
		if err := await("replication", r.inSync); err != nil {
			return err
		}
	}
	s.Sentinels, err = Watch(dir, sentinels, replicas, s.Master.Addr)
	return err
}

// launchIn starts a server that has its files in a directory of its own in dir.
func launchIn(dir, name string, args ...string) (*Server, error) {
	return launchWithin(dir, name, func() ([]string, error) { return args, nil })
}

// launchWithin does so with arguments that may be others with each try.
func launchWithin(dir, name string, args func() ([]string, error)) (*Server, error) {
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return launch(dir, args)
}

// Addrs returns the addresses of the sentinels.
func (s *Sentinels) Addrs() []string { return addrs(s.Sentinels) }

// Stop ends all servers and sentinels.
func (s *Sentinels) Stop() {
	stop(s.Sentinels)
	stop(s.Replicas)
	if s.Master != nil {
		s.Master.Stop()
	}
}

// addrs returns the addresses of servers.
func addrs(servers []*Server) []string {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// stop ends servers.
func stop(servers []*Server) {
	for _, s := range servers {
		s.Stop()
	}
}

// Watch starts n sentinels that watch a master and its replicas. master is the address, and
// replicas the number. It waits until each sentinel knows the others and all replicas.
func Watch(dir string, n, replicas int, master string) (sentinels []*Server, err error) {
	defer func() {
		if err != nil {
			stop(sentinels)
		}
	}()
	for i := range n {
		s, err := launchSentinel(filepath.Join(dir, fmt.Sprintf("sentinel-%d.conf", i)), n/2+1, master)
		if err != nil {
			return sentinels, err
		}
		sentinels = append(sentinels, s)
	}
	for _, s := range sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
		err := await("sentinel "+s.Addr, func(ctx context.Context) error {
			m, err := c.Master(ctx, SentinelMaster).Result()
			if err == nil && (m["num-other-sentinels"] != strconv.Itoa(n-1) || m["num-slaves"] != strconv.Itoa(replicas)) {
				err = fmt.Errorf("the sentinel knows %s other sentinels and %s replicas", m["num-other-sentinels"], m["num-slaves"])
			}
			return err
		})
		_ = c.Close()
		if err != nil {
			return sentinels, err
		}
	}
	return sentinels, nil
}

// launchSentinel starts one sentinel, with its configuration in file.
func launchSentinel(file string, quorum int, master string) (*Server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return nil, err
	}
	own, err := FreePort()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("bind 127.0.0.1\nport %d\nloglevel warning\ndir %s\n"+
		"sentinel monitor %[3]s %s %s %d\nsentinel down-after-milliseconds %[3]s 1000\n"+
		"sentinel failover-timeout %[3]s 5000\nsentinel parallel-syncs %[3]s 2\n",
		own, filepath.Dir(file), SentinelMaster, host, port, quorum)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s := &Server{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(own)),
		Dir:  filepath.Dir(file),
		path: path,
		args: []string{file, "--sentinel"},
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	return s, nil
}
