package ops

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vccdb/vccdb/server/schedule"
)

// Schedule tells how the copies fare that the server makes by itself;
// *schedule.Schedule is one.
type Schedule interface {
	Snapshots() schedule.Status
	Backups() schedule.Status
}

// noSchedule makes no copies.
type noSchedule struct{}

func (noSchedule) Snapshots() schedule.Status { return schedule.Status{} }
func (noSchedule) Backups() schedule.Status   { return schedule.Status{} }

// scheduleCollector shows the schedule to Prometheus.
type scheduleCollector struct {
	schedule              Schedule
	made, failed, failing *prometheus.Desc
}

func newScheduleCollector(s Schedule) *scheduleCollector {
	return &scheduleCollector{
		schedule: s,
		made:     describe("vccdb_scheduled_copies_total", "Snapshots and backups that the server made by itself, by kind.", "kind"),
		failed:   describe("vccdb_schedule_failures_total", "Tries to make one, or to remove old ones, that failed, by kind.", "kind"),
		failing:  describe("vccdb_schedule_failing", "1 if the last try failed, by kind.", "kind"),
	}
}

// Describe implements prometheus.Collector.
func (c *scheduleCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.made
	ch <- c.failed
	ch <- c.failing
}

// Collect implements prometheus.Collector.
func (c *scheduleCollector) Collect(ch chan<- prometheus.Metric) {
	for kind, s := range map[string]schedule.Status{"snapshot": c.schedule.Snapshots(), "backup": c.schedule.Backups()} {
		ch <- prometheus.MustNewConstMetric(c.made, prometheus.CounterValue, float64(s.Made), kind)
		ch <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(s.Failed), kind)
		ch <- prometheus.MustNewConstMetric(c.failing, prometheus.GaugeValue, truth(s.Failing()), kind)
	}
}
