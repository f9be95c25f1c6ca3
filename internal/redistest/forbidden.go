package redistest

// Forbidden are the names of commands that the library must never send: they cost as
// much as the whole database, harm other users of the server, or do not exist on a
// cluster.
var Forbidden = []string{"keys", "scan", "select", "flushdb", "flushall", "swapdb", "move", "randomkey", "monitor"}
