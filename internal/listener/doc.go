// Package listener receives what Redis and the other instances of the application
// publish.
//
// Everything that it receives is a hint: a reason to look at something in Redis sooner.
// No hint is believed, and none is needed. A message that never comes delays something
// and loses nothing, because the reapers look at everything again within
// WithLookInterval, and the sweeper asks for the ends of all sessions with
// closures (hooks that handlers registered for one session) every 30 seconds.
//
// # What it listens to
//
//   - Messages of other instances: a bucket (a fixed share of all sessions) has a session
//     that needs a look sooner than expected; a session has ended for which this instance
//     holds closures; an instance has come or gone. One subscription brings all of them, since
//     every server of a cluster passes messages on.
//   - Keyspace notifications of Redis: a session's live key, whose time to live is that of
//     the session, has expired, or was deleted or evicted. A server publishes these for its
//     own keys only, so there is one subscription for each server. Only the leader, one
//     instance of all, has them.
//
// # States
//
// A subscription is connecting, subscribed, or waiting to connect again. Each time that it
// gets to subscribed, Events.Subscribed is called: anything may have been missed before,
// and the engine looks at everything. The pause before the next try grows, up to 4.5
// seconds; a part of it is random.
//
// State reports what has become of keyspace notifications, for Stats:
//
//   - Off: the application does not want them.
//   - Standby: another instance is the leader, and listens.
//   - Disconnected: there is no subscription, or the server's setting is not known yet.
//   - On: the server sends what is needed.
//   - Missing: somebody has changed the server's setting after it was on.
//   - Refused: the server refuses CONFIG, and no notification has come yet.
//
// The leader adds the flags that are missing to the server's notify-keyspace-events with
// every new connection, because a restart forgets the setting and a failover leaves it
// behind. Later it only reads the setting, every 12 seconds, and reports if somebody has
// changed it: it does not fight an operator. Where the server refuses CONFIG, the first
// notification that comes shows that they are on.
//
// # What happens at each failure
//
//   - Redis is away: the subscription breaks and connects again, after a pause that grows
//     and is spread by chance, so that not all instances connect in the same moment. An
//     outage takes all subscriptions to a server, so the log has one warning for it, and one
//     line when the last of them works again. See outages.
//   - Redis refuses the user name or the password of the client: as above, and the warning
//     says so, if it was not Redis that went away first.
//   - Redis does not permit the user to subscribe to a channel: as above, but the log says
//     which right the user lacks.
//   - The connection is half open, and nothing arrives any more: each subscription sends a
//     PING every 3 seconds, and is replaced when nothing has come back for two of them.
//   - The process was stopped for long, or reads too slowly: Redis closes the connection,
//     which is then replaced.
//   - A message is lost: see above. The next look finds what it was about.
//   - A server of a cluster goes away: the subscription to its notifications retries until
//     SetServers says that it is gone. The subscription to messages picks another server.
//   - Somebody publishes forged messages: they cause looks, whose number the receivers
//     limit, and nothing else.
//
// # What it may touch
//
// It subscribes to channels, sends PING, and reads and sets notify-keyspace-events. It
// names no keys. Run uses its own goroutine for messages; each subscription to
// notifications has one that receives and one that looks after the server's setting, and
// each connection one that sends PING.
package listener
