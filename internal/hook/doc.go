// Package hook calls the functions of the application that run when a session begins or
// ends, so that a function that fails, panics or hangs harms nothing else.
//
// # What is guaranteed about a call
//
//   - The hook runs in a goroutine of its own, with a context that ends after the timeout,
//     and earlier if the caller's context ends.
//   - Call returns the hook's error. It returns nil only if the hook has returned nil.
//   - If the hook panics, Call returns a *PanicError with the value and the stack.
//   - If the hook returns an error whose methods panic, such as a nil pointer of an error
//     type, Call returns a *PanicError too. The caller may use errors.Is and errors.As on
//     what Call returns, without fear of a panic.
//   - If the hook ends its goroutine with runtime.Goexit, as t.FailNow does, Call returns an
//     error.
//   - If the hook has not returned a quarter of a second after its context has ended, Call
//     leaves it behind, and returns an error that is ErrHung and the cause of the context's
//     end. Go cannot stop a goroutine, so the hook goes on. Hung counts it until it returns.
//     Its result is then ignored.
//
// So Call returns at the latest that quarter of a second after the timeout. A hook whose
// error has an Error, Is or As method that hangs counts as a hook that hangs.
//
// # What it may touch
//
// Nothing but the goroutine that it starts. It knows neither sessions nor Redis, and imports
// none of this module's packages. What becomes of an end whose hook has failed is decided
// in package delivery.
package hook
