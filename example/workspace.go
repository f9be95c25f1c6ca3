package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// maxWorkspace is the largest size of a notepad, in bytes.
const maxWorkspace = 4096

var (
	errWorkspaceClosed = errors.New("the workspace is closed")
	errWorkspaceFull   = errors.New("the notepad is full")
)

// workspaces has an open temporary file, a notepad, for each session that needs one. It is an example
// of anything that an application must release when a session ends: a database engine, a lock, a seat.
// It is safe for concurrent use.
type workspaces struct {
	dir string

	mu   sync.Mutex
	open map[string]*os.File // by session ID
}

// newWorkspaces makes a directory for the files.
func newWorkspaces() (*workspaces, error) {
	dir, err := os.MkdirTemp("", "lifecycle-example-")
	if err != nil {
		return nil, fmt.Errorf("workspaces: %w", err)
	}
	return &workspaces{dir: dir, open: make(map[string]*os.File)}, nil
}

// Open opens the session's workspace. It returns false if the workspace was open already. If it
// returns true, the caller must see to it that Close is called.
func (w *workspaces) Open(id string) (opened bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[id] != nil {
		return false, nil
	}
	f, err := os.CreateTemp(w.dir, "notes-*.txt")
	if err != nil {
		return false, fmt.Errorf("open a workspace: %w", err)
	}
	w.open[id] = f
	return true, nil
}

// Append adds a note to the session's workspace. It returns errWorkspaceClosed if the workspace is
// not open, and errWorkspaceFull if the note is too long for the rest of it.
func (w *workspaces) Append(id, note string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.open[id]
	if f == nil {
		return errWorkspaceClosed
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("append a note: %w", err)
	}
	if info.Size()+int64(len(note))+1 > maxWorkspace {
		return errWorkspaceFull
	}
	if _, err := f.WriteString(note + "\n"); err != nil {
		return fmt.Errorf("append a note: %w", err)
	}
	return nil
}

// notepad is what the page shows about a workspace.
type notepad struct {
	File  string
	Notes []string
}

// Read returns the session's notepad, nil if the workspace is not open.
func (w *workspaces) Read(id string) (*notepad, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.open[id]
	if f == nil {
		return nil, nil
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, fmt.Errorf("read the notes: %w", err)
	}
	n := &notepad{File: f.Name()}
	for note := range strings.Lines(string(text)) {
		n.Notes = append(n.Notes, strings.TrimSuffix(note, "\n"))
	}
	return n, nil
}

// Close closes the session's workspace and removes its file. If the workspace is not open, Close does
// nothing.
func (w *workspaces) Close(id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.open[id]
	if f == nil {
		return nil
	}
	delete(w.open, id)
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("close a workspace: %w", err)
	}
	return nil
}

// Count returns how many workspaces are open.
func (w *workspaces) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

// RemoveAll closes all workspaces that are open and removes the directory. After lifecycle.Shutdown
// none should be open, unless something went wrong.
func (w *workspaces) RemoveAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for id, f := range w.open {
		errs = append(errs, f.Close())
		delete(w.open, id)
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}
