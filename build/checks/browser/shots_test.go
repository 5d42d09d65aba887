package browser

import (
	"context"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var (
	shots       = flag.String("shots", "", "folder for pictures of the console; empty makes none")
	shotsOf     = flag.String("shots.pages", "", "paths below /console/ to picture instead of those for the documentation, separated by spaces; - is the overview")
	shotsFormat = flag.String("shots.format", "webp", "format of the pictures: webp, png or jpeg")
	shotsGPU    = flag.Bool("shots.gpu", false, "picture a machine that has fake GPUs")
	shotsWhole  = flag.Bool("shots.whole", false, "picture whole pages, not only what fits the window")
)

// pictures are those of the documentation: name and path.
var pictures = [][2]string{
	{"overview", ""}, {"tables", "tables"}, {"table", "tables/words?fcol=length&fop=gte&fval=12"}, {"entity", "tables/books/entity?pk=dune"},
	{"search", "search?index=words.embedding&key=coffee&compare=on"}, {"map", "search/map?index=words.embedding"},
	{"query", "query?q=" + url.QueryEscape(`{"table": "words", "predicates": [{"column": "length", "op": "gte", "value": 12}, {"column": "first_letter", "value": "c"}], "order_by": "rank", "limit": 20}`)},
	{"indexes", "indexes"}, {"index", "indexes/index?table=words&column=embedding&type=vector"}, {"feed", "feed"}, {"copies", "copies"},
	{"slow", "slow"}, {"logs", "logs"}, {"settings", "settings"}, {"system", "system"}, {"api", "api"},
}

// TestScreenshots makes pictures in light, dark and at phone width:
//
//	go test ./browser -run TestScreenshots -shots DIR
func TestScreenshots(t *testing.T) {
	if *shots == "" {
		t.Skip("-shots names no folder")
	}
	if err := os.MkdirAll(*shots, 0o755); err != nil {
		t.Fatal(err)
	}
	wanted := pictures
	if *shotsOf != "" {
		wanted = nil
		for path := range strings.FieldsSeq(*shotsOf) {
			path = strings.TrimPrefix(path, "-")
			wanted = append(wanted, [2]string{strings.NewReplacer("/", "_", "?", "_", "&", "_", "=", "-", ":", "-").Replace("page-" + path), path})
		}
	}
	// The pictures show the folder.
	dir := filepath.Join(os.TempDir(), "themis")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	settings := []string{"features.cdc=true", "query.slow_threshold_ms=1"}
	if *shotsGPU {
		settings = append(settings, fakeGPU(t)...)
	}
	s := start(t, dir, false, settings...)
	s.loadWords(0)
	s.loadBooks()
	s.call("POST", "/admin/snapshot", `{"name": "before-upgrade"}`)
	s.call("POST", "/admin/backup", "")
	if *shotsGPU {
		s.gpu("the words aren't on the device", (*gpuStats).ready)
		s.searchOnBoth(500)
	}
	s.busy(20 * time.Second)
	for _, look := range []struct {
		name, theme string
		size        [2]int64
	}{{"", "light", desktop}, {"-dark", "dark", desktop}, {"-phone", "light", phone}} {
		b := open(t, s.url, look.theme, look.size)
		for _, p := range wanted {
			b.visit(p[1])
			time.Sleep(700 * time.Millisecond) // charts and editors come after the page
			b.save(filepath.Join(*shots, p[0]+look.name+"."+*shotsFormat))
		}
	}
}

func (b *tab) save(file string) {
	b.t.Helper()
	shot := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormat(*shotsFormat), CaptureBeyondViewport: new(*shotsWhole)}
	if *shotsFormat == "webp" {
		shot.Quality = new(int64(90))
	}
	picture := ask(b, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		answer, err := cdp.Call(ctx, t, page.CaptureScreenshot, shot)
		return answer.Data, err
	})
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// busy makes traffic for charts and lists to show.
func (s *server) busy(d time.Duration) {
	s.t.Helper()
	words := []string{"coffee", "ocean", "paris", "quick", "violin", "winter", "physics", "bread"}
	for end, i := time.Now().Add(d), 0; time.Now().Before(end); i++ {
		w := words[i%len(words)]
		s.call("POST", "/vector/search", `{"table": "words", "key": "words:`+w+`", "k": 10, "return": "keys"}`)
		s.call("POST", "/query", `{"table": "words", "predicates": [{"column": "length", "op": "gte", "value": 14}], "limit": 5}`)
		if i%20 == 0 {
			s.call("PATCH", "/entities/books:dune", `{"read": `+strconv.Itoa(i)+`}`)
		}
	}
}
