package devices

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/gpu"
	"github.com/vccdb/vccdb/server/ops"
)

// View is the page.
type View struct {
	// Wanted says that an index asks for a GPU.
	Wanted bool
	State  State
	Facts  []Fact
	// LastError is what the last worker that failed said.
	LastError string
	// Figures are of the searches, empty where nothing was ever asked of a device.
	Figures []Fact
	Driver  string
	// Missing says why there are no devices, or not all.
	Missing string
	Devices []Device
	Indexes []Index
	// Answered is who answered searches, and why it was the CPU; the device first.
	Answered []Answered
	// Batches are how many searches shared a pass.
	Batches []Bar
	Curves  []Curve
	Charts  []components.Chart
}

// State is the worker's, in words.
type State struct {
	// Kind is of a badge: ok, warn, danger or empty.
	Kind, Word string
	// Reason says why it is so, Todo what to do about it; both are sentences, or empty.
	Reason, Todo string
}

// Fact is a name with its value; the note may be empty.
type Fact struct{ Name, Value, Note string }

// Device is a device, written out.
type Device struct {
	Index, Name, UUID, Capability string
	// Searched is the one that searches use.
	Searched                     bool
	Used, Total                  float64
	Memory, Busy, Degrees, Power string
	// Told says that the driver tells of processes.
	Told      bool
	Processes []Process
}

// Process is one that uses a device.
type Process struct {
	PID, Memory string
	Worker      bool
}

// Index is a vector index that uses a device, or would.
type Index struct {
	components.Index
	State                     State
	Vectors, Waiting, Size    string
	Searches, Instead, Recall string
	Checked                   time.Time
	Always                    bool
}

// Answered is a part of the searches.
type Answered struct {
	By, Why string
	Count   string
	Share   float64
	Device  bool
}

// newView lays the figures out. Chosen is the device that searches use.
func newView(s *ops.GPUStats, chosen int, now time.Time) View {
	v := View{
		Wanted: s.Wanted, State: stateOf(s), Driver: s.DriverVersion, Missing: s.Missing,
		Answered: answered(s), Batches: batches(s.Worker.BatchSizes),
	}
	if s.Wanted {
		v.Facts, v.LastError = workerFacts(&s.Worker, now), s.Worker.LastError
		v.Figures = figures(s)
	}
	for i := range s.Devices {
		v.Devices = append(v.Devices, deviceOf(&s.Devices[i], chosen))
	}
	for i := range s.Indexes {
		v.Indexes = append(v.Indexes, indexOf(&s.Indexes[i]))
		v.Curves = append(v.Curves, curvesOf(i, &s.Indexes[i])...)
	}
	return v
}

func workerFacts(w *ops.WorkerStats, now time.Time) []Fact {
	var facts []Fact
	add := func(name, value, note string) { facts = append(facts, Fact{name, value, note}) }
	if !w.Since.IsZero() {
		add("In this state", format.Duration(now.Sub(w.Since)), "")
	}
	if w.PID != 0 {
		add("Process", strconv.Itoa(w.PID), "")
	}
	if d := w.Device; d != nil {
		add("Searches on", d.Name, "kernels for "+d.Kernels)
		add("Memory", format.Bytes(d.MemoryUsedBytes), "of "+format.Bytes(d.MemoryLimitBytes)+" that it may take")
	}
	add("Restarts", format.Count(w.Restarts), "since the server's start")
	if w.LastCause != "" {
		add("Last failure", causeWord(w.LastCause), format.Ago(w.LastEnd, now))
	}
	return facts
}

func figures(s *ops.GPUStats) []Fact {
	w := &s.Worker
	var fell uint64
	for _, n := range s.Fallbacks {
		fell += n
	}
	list := []Fact{{"Searches on the GPU", format.Count(s.Searches), share(s.Searches, s.Searches+fell)}}
	if w.Batches == 0 {
		return append(list, Fact{"Mean batch", "–", "no search was answered yet"})
	}
	batches, searches := float64(w.Batches), float64(max(w.Answered, 1))
	return append(list,
		Fact{"Mean batch", format.Number(float64(w.Answered) / batches), format.Plural(w.Batches, "pass", "passes") + " over the vectors"},
		Fact{"Mean wait", format.Millis(1000 * w.QueueSeconds / searches), "of a search in the worker"},
		Fact{"Mean pass", format.Millis(1000 * w.DeviceSeconds / batches), "of a batch on the device"})
}

func share(n, of uint64) string {
	if of == 0 {
		return "none was asked yet"
	}
	return format.Percent(float64(n)/float64(of)) + " of the searches of these indexes"
}

func deviceOf(d *gpu.Device, chosen int) Device {
	row := Device{
		Index: strconv.Itoa(d.Index), Name: d.Name, UUID: d.UUID, Capability: cmp.Or(d.ComputeCapability, "–"), Searched: d.Index == chosen,
		Used: float64(d.MemoryUsedBytes), Total: float64(d.MemoryTotalBytes),
		Memory: format.Bytes(d.MemoryUsedBytes) + " of " + format.Bytes(d.MemoryTotalBytes),
		Busy:   format.Reading(d.UtilizationPercent, "%"), Degrees: format.Reading(d.TemperatureCelsius, "°C"), Power: format.Reading(d.PowerWatts, "W"),
		Told: d.Processes != nil,
	}
	for _, p := range d.Processes {
		process := Process{PID: strconv.Itoa(p.PID), Memory: "–", Worker: p.Worker}
		if p.MemoryBytes != nil {
			process.Memory = format.Bytes(*p.MemoryBytes)
		}
		row.Processes = append(row.Processes, process)
	}
	return row
}

func indexOf(i *ops.GPUIndex) Index {
	var fell uint64
	for _, n := range i.Fallbacks {
		fell += n
	}
	row := Index{
		Index: components.Index{Table: i.Table, Columns: []string{i.Column}, Type: "vector"}, State: indexState(i), Always: i.Always,
		Vectors: format.Count(i.Vectors), Waiting: format.Count(i.Dirty), Size: format.Bytes(i.Bytes),
		Searches: format.Count(i.Searches), Instead: format.Count(fell), Recall: "–", Checked: i.Checked,
	}
	if i.Recall != nil {
		row.Recall = format.Percent(*i.Recall)
	}
	return row
}

// answered is who answered, the device first, then the CPU's reasons by number.
func answered(s *ops.GPUStats) []Answered {
	all := s.Searches
	for _, n := range s.Fallbacks {
		all += n
	}
	if all == 0 {
		return nil
	}
	rows := []Answered{{By: "GPU", Why: "the device answered", Count: format.Count(s.Searches), Share: float64(s.Searches) / float64(all), Device: true}}
	reasons := slices.SortedFunc(maps.Keys(s.Fallbacks), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Fallbacks[b], s.Fallbacks[a]), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		if n := s.Fallbacks[reason]; n > 0 {
			rows = append(rows, Answered{By: "CPU", Why: fallbackWords(reason), Count: format.Count(n), Share: float64(n) / float64(all)})
		}
	}
	return rows
}
