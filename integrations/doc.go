// Package integrations tests lifecycle together with libraries that gin applications use, and
// the ways in which applications use their sessions.
//
// The tests TestWith... run the rows of the table in docs/integrations.md, with the versions
// that the table names. TestTable fails if the table names another test or another version. The
// tests of patterns_test.go are small applications, written as applications are.
//
// Every test has a real server on loopback, and visitors with real cookie jars.
//
// The package is a module of its own, so that its dependencies are not those of lifecycle.
package integrations
