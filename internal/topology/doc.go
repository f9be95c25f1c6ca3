// Package topology watches which Redis servers there are, and which server has which
// bucket. A bucket is a fixed share of all sessions, chosen by session ID; in a Redis
// Cluster all keys of a bucket are in one slot, and so on one server.
//
// The engine has one worker for each server, so that a server that does not answer holds
// up no other. Topology tells the engine when a server has come, has gone, or has got
// other buckets.
//
// Without a cluster there is one server for all buckets. Run reports it once and
// returns: Sentinel and a single server have nothing to watch here, because their client
// follows the master by itself.
//
// # How it finds out
//
// The cluster's client keeps a table of slots and servers, and renews it when a server
// redirects it or when the ledger has seen an error. Run reads that table every second,
// which sends nothing to Redis, and makes the client renew it every 5 seconds.
//
// # What happens at each failure
//
//   - Redis is away at the start: nothing is known yet, so Config.Changed is not called.
//     Run logs it once and asks again every second.
//   - Redis goes away later: the last known servers stay. Their workers retry by
//     themselves.
//   - A server of the cluster is replaced: Config.Changed gets the new one, at most a few
//     seconds after the client's table has it.
//   - The table is out of date: a command that goes to the wrong server is redirected by
//     that server. It costs a round trip and loses nothing.
//
// # What it may touch
//
// It sends what the cluster's client sends to renew its table, and nothing else. It
// names no keys. Everything happens in the goroutine that calls Run.
package topology
