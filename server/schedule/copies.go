package schedule

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// Names of scheduled snapshots are the prefix and the time.
const (
	prefix     = "scheduled-"
	nameLayout = prefix + "20060102T150405Z"
)

// nameAt names the snapshot of a time.
func nameAt(t time.Time) string { return t.UTC().Format(nameLayout) }

// Scheduled reports whether a snapshot's name is one that the schedule gives.
func Scheduled(name string) bool {
	t, err := time.Parse(nameLayout, name)
	return err == nil && nameAt(t) == name
}

// snapshots are the snapshots of the schedule.
type snapshots struct{ db Database }

// list has the scheduled ones, oldest first.
func (s *snapshots) list() ([]engine.Snapshot, error) {
	list, err := s.db.Snapshots()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(one engine.Snapshot) bool { return !Scheduled(one.Name) })
	slices.SortFunc(list, func(a, b engine.Snapshot) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *snapshots) last(now time.Time) (last time.Time, err error) {
	list, err := s.list()
	for i := range list {
		if one := &list[i]; one.Damaged == "" && !one.Created.After(now) {
			last = later(last, one.Created)
		}
	}
	return last, err
}

func (s *snapshots) create(ctx context.Context, started func(string)) (string, error) {
	work, err := s.db.CreateSnapshot(engine.SnapshotRef{Name: nameAt(time.Now())})
	if err != nil {
		return "", err
	}
	started(work.Job.Status().ID)
	if err := work.Job.Wait(ctx); err != nil {
		return "", err
	}
	return work.Result().Name, nil
}

// prune leaves snapshots of the future alone, which were made while the clock was
// wrong: they would take the place of the one that was just made. It doesn't count
// damaged ones among those that stay. One that is being downloaded goes the next
// time.
func (s *snapshots) prune(keep int) (removed []string, err error) {
	list, err := s.list()
	if err != nil {
		return nil, err
	}
	now := nameAt(time.Now())
	var failed error
	for _, one := range slices.Backward(list) {
		switch {
		case one.Name > now:
		case keep > 0 && one.Damaged != "":
		case keep > 0:
			keep--
		default:
			err := s.db.DeleteSnapshot(one.Name)
			if err == nil {
				removed = append(removed, one.Name)
			} else if errs.KindOf(err) != errs.NotFound && errs.CodeOf(err) != "snapshot_busy" {
				failed = errors.Join(failed, err)
			}
		}
	}
	return removed, failed
}

// backups are all backups.
type backups struct{ db Database }

func (b *backups) last(now time.Time) (last time.Time, err error) {
	list, err := b.db.Backups()
	for i := range list {
		if !list[i].Created.After(now) {
			last = later(last, list[i].Created)
		}
	}
	return last, err
}

func (b *backups) create(ctx context.Context, started func(string)) (string, error) {
	work, err := b.db.CreateBackup()
	if err != nil {
		return "", err
	}
	started(work.Job.Status().ID)
	if err := work.Job.Wait(ctx); err != nil {
		return "", err
	}
	return strconv.FormatUint(uint64(work.Result().ID), 10), nil
}

func (b *backups) prune(keep int) (removed []string, err error) {
	list, err := b.db.Backups()
	if err != nil || len(list) <= keep {
		return nil, err
	}
	if err := b.db.PurgeBackups(keep); err != nil {
		return nil, err
	}
	for i := range list[:len(list)-keep] {
		removed = append(removed, strconv.FormatUint(uint64(list[i].ID), 10))
	}
	return removed, nil
}
