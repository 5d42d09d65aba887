package engine_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
)

func TestMain(m *testing.M) {
	if gputest.IsWorker() {
		os.Exit(gputest.Work())
	}
	if dir := os.Getenv(crashChildDir); dir != "" {
		crashChild(dir)
	}
	goleak.VerifyTestMain(m)
}
