// Package reply decides what an error reply of a Redis server says, so that the caller
// knows whether trying again can help.
//
// # Kinds of answers
//
//   - No answer: the connection broke, or the time was over. It says nothing about the
//     server's rights or keys. Neither Refuses nor Overwritten is true.
//   - Later: the server cannot serve the command now. It is loading its data (LOADING), has
//     no master (MASTERDOWN), its cluster is down (CLUSTERDOWN), a slot is being moved
//     (TRYAGAIN), it has too many clients, or a script is running (BUSY). Trying again may
//     help.
//   - Login refused: the server refuses the client's user name or password (WRONGPASS,
//     NOAUTH), because the password was changed or the user was removed. It says nothing
//     about the command, which the server has not executed. Trying again helps once somebody
//     has put the password right. LoginRefused is true.
//   - Refused: the server does not have the command, or does not allow it. Trying again is
//     of no use until somebody changes the server or the user's rights. Refuses is true; it
//     is for single commands such as CONFIG and INFO, and takes every answer for a refusal
//     that means neither later nor a refused login.
//   - Overwritten: a key has a value that lifecycle cannot have written: one of another type
//     or, where a script expects a number, another text. Overwritten is true. The same call
//     fails until somebody deletes the key; calls for other sessions do not fail.
//   - About the server: a script was stopped because the server is out of memory (OOM), is
//     read only (READONLY), or lacks something else. It says nothing about a key, so
//     Overwritten is false, although the reply comes from a script.
//
// Redis gives most errors no code of their own, so their texts must be read. Redis 6.2 and
// Redis 7 wrap the errors of scripts differently, and the tests have both texts.
//
// # What it may touch
//
// Nothing. The functions look at an error and are safe for concurrent use.
package reply
