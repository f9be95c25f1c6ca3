package lifecycle

import "time"

// keeping keeps a session alive while a handler runs. Most handlers return before anything
// is to be done. It is used with the binding's lock held.
type keeping struct {
	timer   *time.Timer // nil until the request has had a session
	release func()      // nil while the session's own time is enough
}

// stop ends it. It can begin again.
func (k *keeping) stop() {
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.release != nil {
		k.release()
		k.release = nil
	}
}
