package search

import (
	"testing"

	"github.com/vccdb/vccdb/console/consoletest"
)

func TestMain(m *testing.M) { consoletest.Main(m) }
