// Package record packs everything that is stored about a session into one string, the
// record. Redis keeps it under one key for as long as the session is live or its end is
// not handled.
//
// A record is a string and not a Redis hash, because a single field of more than 64 bytes
// would make the hash take several hundred bytes more.
//
// # Layout
//
// A record consists of a head, which Lua scripts read too, and of fields. A uvarint is an
// unsigned number as encoding/binary writes it, in as many bytes as it needs.
//
//	proof     16 bytes: the proof of the present secret, see package token
//	format    1 byte: 4, or 5 if a secret was rotated away a short while ago
//	deadline  6 bytes, big endian: the absolute deadline in Unix ms, 0 for none
//	rotated   only in format 5: 1 byte with the length of the rest, and then, for each
//	          secret that was rotated away, 16 bytes of its SecretProof and 6 bytes, big
//	          endian, with the time in Unix ms until which it is remembered; the latest
//	          first, four at most
//	times     2 uvarints, in ms: from the creation to the deadline, or the creation in
//	          Unix time if there is no deadline; then the idle timeout
//	fields    each a tag, a length, and as many bytes; tag and length are uvarints
//	values    the tag 4, and the rest of the record; left out if there are no values
//
// The fields are:
//
//	tag  field    content; a text is a uvarint with its length, and its bytes
//	1    cookie   1 byte of flags (1 Secure, 2 HttpOnly, 4 Partitioned), 1 byte SameSite as
//	              net/http numbers it, a uvarint MaxAge in seconds, the texts Path and Domain
//	2    request  the texts method, URI, host, client IP and user agent of the request that
//	              began the session; an empty method means GET, and a method of one zero
//	              byte means none
//	3    header   pairs of texts: name and value
//	4    values   the session's values, as the codec has encoded them; always last
//	5    own      a uvarint: the idle timeout that the session has got as its own, in ms
//
// # Formats
//
// This release writes the formats 4 and 5. It also reads 2 and 3, which earlier releases
// wrote before there were tagged fields:
//
//	2  proof, format, and then: a uvarint with the creation in Unix ms, a uvarint with the
//	   idle timeout in ms, a uvarint with the ms from creation to deadline or 0 for none, the
//	   texts of the request, a uvarint with the number of header lines and their texts, and
//	   the values
//	3  the same, with the content of the cookie field in front of the texts of the request
//
// A format that this release does not know is refused with ErrMalformed. So is 6: with it,
// package ledger marks what it remembers of a finished end in place of the record. It takes
// the head of the record as it is.
//
// # How to add a field
//
// Instances of different releases share one Redis. An older instance passes over a field
// whose tag it does not know, and when it saves the session it writes the field again, as
// it came. So a new field takes a new tag, and nothing else:
//
//  1. Add the tag here and to the constants. Never use a tag again, even if its field is no
//     longer written.
//  2. Write the field in Pack, in front of the values, and read it in Record.fields.
//  3. Add a golden file to testdata. Never change one that is there: it says what an
//     earlier release has written.
//
// If an older instance must not ignore the field, it takes a new format instead, which an
// older instance refuses. The scripts look.lua and rotate.lua read the head, and past.lua reads the
// times too, so a change of these must be made there too.
//
// # What happens at each failure
//
//   - The bytes are no record, because something else has written the key: Unpack returns
//     ErrMalformed. It takes no more memory than in proportion to their number.
//   - A record was cut short: Unpack returns ErrMalformed if the cut is within a field. A
//     record without its last fields is a record.
//
// # What it may touch
//
// Nothing. It imports only package token, and its functions are safe for concurrent use.
package record
