package main

import (
	"context"
	"database/sql"
	"os"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// The names that a fragment may use without declaring them. Run sets those that the
// fragments which are run need.
var (
	ctx     = context.Background()
	rdb     *redis.Client
	store   *lifecycle.Store
	manager *lifecycle.Manager
	router  *gin.Engine
	db      *sql.DB
	id      string // of a session

	c      *lifecycle.Context
	file   *os.File
	events chan string
)

// work stands for what a handler does with a file.
func work(*os.File) error { return nil }

// audit is a destroyed hook.
func audit(context.Context, *lifecycle.Session) error { return nil }

// openFile stands for opening what belongs to one visitor.
func openFile(string) (*os.File, error) { return os.CreateTemp("", "lifecycle-docs-") }

// Without the documents nothing uses them.
var _ = []any{ctx, rdb, store, manager, router, db, id, audit, openFile, c, file, events, work}
