// Package codec encodes and decodes a session's values: as gob (Gob) or as JSON (JSON).
//
// # Numbers in JSON
//
// JSON has one kind of number. So that integers come back as integers, with all their digits,
// and floats as floats, Encode gives every float a point or an exponent, and Decode goes by
// that.
//
// # Why gob is checked before encoding/gob sees it
//
// Somebody who can write to Redis chooses the bytes that Decode reads. Such bytes may give
// an error. They must not take more memory, time or stack than their number justifies, and
// must not stop the process. encoding/gob does not guarantee that:
//
//   - It makes a map as large as the stream claims, and a slice of up to 10 MiB, before it
//     has seen the elements. A stream of a few bytes can claim 2^27 entries.
//   - It recurs for each level of nesting. A stack overflow ends a Go process; recover does
//     not help.
//   - It compiles each type that the stream describes, before it decodes a value.
//   - It panics if a map key cannot be one, and when a GobDecode method panics.
//
// So check walks through the stream first, in the same way as encoding/gob does, but without
// making any value. It returns an error if decoding would take too much (maxDepth, maxTypes,
// minMemory and the constants beside them), if elements are missing, or if encoding/gob
// would read something else than is written. encoding/gob decodes only what has passed the
// check. Panics become errors.
//
// Methods with which types of the application decode themselves (GobDecode, UnmarshalBinary)
// get the bytes as they are. Such a method must limit its own memory and time.
//
// # Words of gob
//
// A gob stream is a sequence of messages, each with its length in front. A message describes
// a type or contains a value. In a stream, types are numbers: gob has fixed ids for the basic
// types, and a description gives an id, from 64 on, to any other type. A value in an
// interface begins with the name under which the application has called gob.Register for its
// type. See the documentation of encoding/gob.
//
// # The quick way
//
// A new encoder or decoder takes several times longer for the descriptions than for the
// values of a session. The description of the map itself is the same in all encodings of a
// process. So:
//
//   - Values of basic types, which need no further description, are written by appendBasic
//     behind the description of the map.
//   - The most common of them (string, int, int64, bool, float64) are read by decodeBasic,
//     without a check and without encoding/gob. It makes no map larger than the bytes can
//     fill.
//   - Decoders that have read the description of a map are kept, for other values that bring
//     no description.
//   - Everything else is encoded by a new encoder and decoded by a new decoder.
//
// # What happens at each failure
//
//   - The bytes are no gob, are cut short, or would take too much: Decode returns an error.
//   - A value cannot be encoded: Encode returns an error, and the session is not saved.
//   - A value could be encoded but not decoded again, because it is nested too deep or too
//     large: Encode returns an error. A session that cannot be saved is better than one that
//     is saved and cannot be read.
//   - A type has changed since the session was saved: encoding/gob decides. It skips fields
//     that are gone and leaves new ones zero. Two cases in which it would read wrong values
//     are refused.
//   - The application has named one of the common types itself: its name stays.
//   - A type was not registered in this process: Decode returns encoding/gob's error.
//
// # What it may touch
//
// Nothing outside the process: it keeps some descriptions with their decoders, and the types
// that it has met by their registered names. It registers common types with encoding/gob,
// which has one list of types for the whole process. Gob and JSON are safe for concurrent use. It
// imports none of this module's packages.
package codec
