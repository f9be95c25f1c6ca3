// Package docs holds the documentation, and the tests that keep it honest: README.md,
// CONTRIBUTING.md, CHANGELOG.md and the documents beside this file.
//
// The tests read the documents themselves and never a copy. They fail if
//
//   - a link names a file, a heading or an identifier that does not exist;
//   - a test, an option, an error, a make target or a version that a document names does not exist;
//   - a block of Go code does not compile or is not formatted;
//   - a program does not print what the document says.
//
// # How to write Go code in a document
//
// A "go" block that begins with "package" is a program. The "console" blocks below it, up
// to the next heading, are its transcript, and the test does what they say:
//
//   - "$ go run ." starts the program; what follows is what the program prints. The
//     test puts a free port in the place of 8080.
//   - "$ curl ..." sends a request; what follows is the body of the response. The test
//     knows the options -b, -c, -d and -X.
//   - "^C" interrupts the program, which must then end with status 0.
//   - A block that does not begin with a command is what the program prints next.
//
// The test compares every line. Times at the beginning of a line, session IDs and ports may
// differ, but an ID that stands in two lines must be the same in both.
//
// Every other "go" block is a fragment: statements or declarations, without imports. All
// fragments are compiled into package fragments. Its file names.go declares the
// names that a fragment may use without declaring them, and its file main.go runs some of
// the fragments. Write each alternative (one server, Sentinel, Cluster) into a block of its
// own.
package docs
