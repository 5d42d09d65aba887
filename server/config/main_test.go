package config

import (
	"fmt"
	"os"
	"testing"
)

// asWriter makes the test binary rewrite an overlay file until it is killed.
const asWriter = "REWRITE_OVERLAY"

func TestMain(m *testing.M) {
	if path := os.Getenv(asWriter); path != "" {
		rewriteOverlay(path)
	}
	os.Exit(m.Run())
}

func rewriteOverlay(path string) {
	l, err := Open(Source{Set: []string{overlayKey + "=" + path}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		if _, err := l.Edit("writer", fmt.Appendf(nil, `{"persist":true,"cdc_retention_hours":%d,"vector_index.ef_search":%[1]d}`, n%8760+1)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if n == 3 {
			fmt.Println("writing")
		}
	}
}
