// Package suite has no code. Its tests are the behavioural tests of package lifecycle:
// what an application, a visitor and an administrator of Redis see.
//
// The tests use the public face of lifecycle, and real Redis servers. They run on every
// topology that lifecycle is for: LIFECYCLE_TOPOLOGY is single (the default), sentinel,
// cluster or locked. With locked the server has neither CONFIG nor notifications, and
// each instance is a user with the rights of docs/deployment.md and no others.
//
// The files kit_*_test.go have what tests share: an app, its visitors and browsers, its
// pages, its keys in Redis, and the commands that it sends. topology_test.go has all that
// differs between topologies.
package suite
