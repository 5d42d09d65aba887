package ops

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vccdb/vccdb/server/ops/history"
)

// durations are the bounds of the buckets of request durations, in seconds: a
// lookup takes a tenth of a millisecond and more, and beyond 10 s the exact
// figure no longer matters.
var durations = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// expectedStatuses are counted from 0 on, so that a rate over them is right from
// the first one that is answered: refused, throttled, failed, overloaded, late,
// full.
var expectedStatuses = []int{200, 400, 401, 403, 404, 429, 500, 503, 504, 507}

// metrics counts requests and keeps the Prometheus registry.
type metrics struct {
	registry           *prometheus.Registry
	requests, failures atomic.Uint64
	duration           *prometheus.HistogramVec
	responses          *prometheus.CounterVec
	rate               rate
	traffic            *history.Traffic
}

func newMetrics(o *Options, uptime func() time.Duration) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), rate: rate{now: o.Now}, traffic: o.Traffic}
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "vccdb_request_duration_seconds", Buckets: durations,
		Help: "Time to answer a request, by method and route pattern.",
	}, []string{"method", "route"})
	m.responses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vccdb_responses_total", Help: "Requests answered, by status: 401 and 403 are denied, 429 are over a rate limit.",
	}, []string{"status"})
	for _, status := range expectedStatuses {
		m.responses.WithLabelValues(strconv.Itoa(status))
	}
	m.registry.MustRegister(
		counter("vccdb_requests_total", "Requests answered.", &m.requests),
		counter("vccdb_errors_total", "Requests answered with a status from 500 up.", &m.failures),
		gauge("vccdb_qps", "Requests answered per second, over the last ten seconds.", m.rate.perSecond),
		gauge("process_uptime_seconds", "Time since the start.", func() float64 { return uptime().Seconds() }),
		m.duration, m.responses,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newEngineCollector(o.Database),
		newGPUCollector(o),
		newMachineCollector(o),
		newScheduleCollector(o.Schedule),
	)
	return m
}

func counter(name, help string, value *atomic.Uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
		func() float64 { return float64(value.Load()) })
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// Observe counts an answered request. It is the server's Observer.
func (m *metrics) Observe(method, route string, status int, took time.Duration) {
	m.requests.Add(1)
	if status >= http.StatusInternalServerError {
		m.failures.Add(1)
	}
	m.rate.add()
	m.traffic.Observe(route, status, took)
	m.duration.WithLabelValues(method, route).Observe(took.Seconds())
	m.responses.WithLabelValues(strconv.Itoa(status)).Inc()
}

func (m *metrics) totals() (requests, failures uint64) {
	return m.requests.Load(), m.failures.Load()
}

// handler serves /metrics. A figure that can't be had is left out and the rest
// is served, so that a failing storage doesn't blind its operator.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// rateSeconds is the window of the request rate.
const rateSeconds = 10

// rate counts events in a ring of seconds.
type rate struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		seconds [rateSeconds + 1]struct{ second, count int64 }
	}
}

func (r *rate) add() {
	second := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := &r.mu.seconds[second%int64(len(r.mu.seconds))]
	if slot.second != second {
		slot.second, slot.count = second, 0
	}
	slot.count++
}

// perSecond is the mean over the last full seconds.
func (r *rate) perSecond() float64 {
	second := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	var sum int64
	for _, slot := range r.mu.seconds {
		if slot.second < second && slot.second >= second-rateSeconds {
			sum += slot.count
		}
	}
	return float64(sum) / rateSeconds
}
