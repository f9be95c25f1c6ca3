// Package embedded runs a Redis inside the process, so that you can try and develop an application
// without a Redis server. It is not for production: all sessions are lost when the process ends,
// other instances of the application do not see them, and it is slow.
//
//	client, err := embedded.Start()
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer client.Close()
//	store, err := lifecycle.NewStore(client, lifecycle.WithNotifications(false))
//
// The in-process Redis is miniredis (github.com/alicebob/miniredis). It has no keyspace
// notifications and no CONFIG command. Package lifecycle does not need them; WithNotifications(false)
// only avoids a warning in the log. Package lifecycle does not import this package.
//
// A Client runs from Start until Close, and cannot be started again. After Close its calls return
// redis.ErrClosed. Start uses one port of the loopback interface and no files.
package embedded
