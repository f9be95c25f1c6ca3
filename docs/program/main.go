// Command program is where the test of package docs builds the programs of the documents:
// it has them compiled in the place of this file.
package main

func main() {}
