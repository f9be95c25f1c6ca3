// Package merge puts together what two requests have done to the values of one session at
// the same time.
//
// Both requests began with the same values, the base. The other request has saved its values
// first; they are theirs. The values of this request are mine. A key that only one of them
// has changed gets that one's value, or is deleted as that one has deleted it. A key that both
// have changed gets mine, because this request saves later. To set a key to the value that it
// had in the base is not a change.
//
// A list is an exception, so that no flash is lost. gorilla/sessions keeps flashes in a
// []any: adding one appends to the list, and reading them deletes the whole list. So what I
// have appended to a list is appended to theirs, and if I have read the list, what I have seen
// is taken out of theirs. A list that I have replaced in another way is mine, with what they have
// appended to it behind.
//
// The package compares values deeply. So all three maps must come from the same codec, by
// decoding: otherwise the same value may be in two types.
package merge
