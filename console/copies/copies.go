// Package copies is the console's page of snapshots and backups: what there is, how
// it was verified, how to restore it, and the schedule by which the server makes
// them. Snapshots can be downloaded.
//
// What was verified is read from the jobs that did it, so it is known as long as
// these are. The schedule is changed through the live configuration. The package
// owns no goroutines and no locks.
package copies

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
	"github.com/vccdb/vccdb/server/schedule"
)

// Options are what the page shows and steers. All of them are needed.
type Options struct {
	Database *engine.Engine
	Schedule *schedule.Schedule
	Config   *config.Live
}

// Copies serves the page. Make one with New.
type Copies struct {
	frame *page.Frame
	o     Options
}

// New returns the page.
func New(f *page.Frame, o Options) *Copies { return &Copies{f, o} }

// Routes lists every route.
func (p *Copies) Routes() []rest.Route {
	f := p.frame
	return []rest.Route{
		f.Route(http.MethodGet, "copies", auth.Admin, p.show),
		f.Route(http.MethodPost, "copies/snapshots", auth.Admin, p.createSnapshot),
		f.Route(http.MethodPost, "copies/snapshots/{name}/verify", auth.Admin, p.verifySnapshot),
		f.Route(http.MethodPost, "copies/snapshots/{name}/delete", auth.Admin, p.deleteSnapshot),
		f.Route(http.MethodGet, "copies/snapshots/{name}/download", auth.Admin, p.downloadSnapshot),
		f.Route(http.MethodPost, "copies/backups", auth.Admin, p.createBackup),
		f.Route(http.MethodPost, "copies/backups/{id}/verify", auth.Admin, p.verifyBackup),
		f.Route(http.MethodPost, "copies/purge", auth.Admin, p.purge),
		f.Route(http.MethodPost, "copies/schedule", auth.Admin, p.reschedule),
	}
}

var shownAs = page.Page{Title: "Snapshots and backups", Nav: "copies"}

func (p *Copies) show(c fiber.Ctx) error {
	v, err := p.view()
	if err != nil {
		return err
	}
	return p.frame.Show(c, shownAs, content(v))
}

// again shows the page with what is wrong with a form on it.
func (p *Copies) again(c fiber.Ctx, fill func(*View)) error {
	v, err := p.view()
	if err != nil {
		return err
	}
	fill(v)
	return p.frame.ShowStatus(c, http.StatusBadRequest, shownAs, content(v))
}

func (p *Copies) createSnapshot(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	refused := func(err error) error {
		var own *errs.Error
		if !errors.As(err, &own) || own.Kind != errs.Invalid && own.Code != "snapshot_exists" {
			return err
		}
		return p.again(c, func(v *View) { v.NewName, v.NewNameError = form.Text("name"), own.Detail })
	}
	work, err := p.o.Database.CreateSnapshot(engine.SnapshotRef{Name: form.Text("name")})
	if err != nil {
		return refused(err)
	}
	name := work.Job.Status().Subject
	switch ended, err := page.Soon(c.Context(), work.Job); {
	case err != nil:
		return refused(err)
	case ended:
		return p.frame.Done(c, "The snapshot "+name+" was made.", "copies")
	}
	return p.frame.Done(c, "The snapshot "+name+" is being made.", "copies")
}

func (p *Copies) verifySnapshot(c fiber.Ctx) error {
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	work, err := p.o.Database.VerifySnapshot(name)
	if err != nil {
		return err
	}
	return p.verified(c, "The snapshot "+name, work)
}

// verified answers with what a verification found, or that it has begun.
func (p *Copies) verified(c fiber.Ctx, what string, work *engine.Work[[]string]) error {
	ended, err := page.Soon(c.Context(), work.Job)
	switch {
	case err != nil:
		return err
	case !ended:
		return p.frame.Done(c, what+" is being verified.", "copies")
	case len(work.Result()) == 0:
		return p.frame.Done(c, what+" is sound: every file has its checksum.", "copies")
	}
	return p.frame.Done(c, what+" is damaged; see what was found below.", "copies")
}

func (p *Copies) deleteSnapshot(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	if err := page.Confirmed(form, name); err != nil {
		return err
	}
	if err := p.o.Database.DeleteSnapshot(name); err != nil {
		return err
	}
	return p.frame.Done(c, "The snapshot "+name+" was deleted.", "copies")
}

func (p *Copies) downloadSnapshot(c fiber.Ctx) error {
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	archive, err := p.o.Database.ArchiveSnapshot(request.Lifetime(c), name)
	if err != nil {
		return err
	}
	request.Of(c).Audited = true // it is all of the data
	return rest.Download(c, archive.Name+".tar", rest.TarType, archive, archive.Bytes)
}

func (p *Copies) createBackup(c fiber.Ctx) error {
	work, err := p.o.Database.CreateBackup()
	if err != nil {
		return err
	}
	switch ended, err := page.Soon(c.Context(), work.Job); {
	case err != nil:
		return err
	case ended:
		return p.frame.Done(c, "Backup "+strconv.FormatUint(uint64(work.Result().ID), 10)+" was made.", "copies")
	}
	return p.frame.Done(c, "A backup is being made.", "copies")
}

func (p *Copies) verifyBackup(c fiber.Ctx) error {
	text, err := rest.PathText(c, "id")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errs.New(errs.Invalid, "invalid_backup_id", "A backup's id is a number, not %.40q.", text)
	}
	work, err := p.o.Database.VerifyBackup(uint32(id))
	if err != nil {
		return err
	}
	return p.verified(c, "Backup "+text, work)
}

// purgeWord is what has to be typed to remove backups.
const purgeWord = "purge"

func (p *Copies) purge(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	keep, err := strconv.Atoi(form.Text("keep"))
	if err != nil || keep < 1 {
		return errs.New(errs.Invalid, "invalid_value", "The number of backups to keep must be 1 or more, not %.40q. Nothing was removed.", form.Text("keep"))
	}
	if err := page.Confirmed(form, purgeWord); err != nil {
		return err
	}
	before, err := p.o.Database.Backups()
	if err != nil {
		return err
	}
	if err := p.o.Database.PurgeBackups(keep); err != nil {
		return err
	}
	return p.frame.Done(c, purged(max(0, len(before)-keep)), "copies")
}

// The paths of what can be done with a copy.
func snapshotPath(name, action string) string {
	return "copies/snapshots/" + view.Segment(name) + "/" + action
}

func backupPath(id uint32, action string) string {
	return "copies/backups/" + strconv.FormatUint(uint64(id), 10) + "/" + action
}
