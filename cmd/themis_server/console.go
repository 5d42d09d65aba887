package main

import (
	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/web"
)

// newConsole gathers the pages of the console. The server isn't there yet when
// its routes are made, hence the function.
func newConsole(live *config.Live, app func() *server.Server) (*console.Console, error) {
	assets, err := web.Open()
	if err != nil {
		return nil, err
	}
	frame := page.New(page.Options{
		Assets:   assets,
		AuthOff:  func() bool { return !live.Config().Server.EnableAuth },
		Warnings: func() []string { return live.Config().Server.Exposure() },
	})
	return console.New(frame), nil
}
