package admin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of backups.
type (
	backup struct {
		ID      uint32    `json:"id"`
		Created time.Time `json:"created"`
		Bytes   int64     `json:"bytes" doc:"The sum of its files, shared ones included."`
		Files   int       `json:"files"`
	}
	backupList struct {
		Backups []backup `json:"backups" doc:"Oldest first."`
	}
	backupWork struct {
		Backup *backup     `json:"backup,omitzero" doc:"Set when it is done."`
		Job    jobs.Status `json:"job"`
	}
	purgeRequest struct {
		Keep int `json:"keep" min:"1" doc:"How many of the newest stay."`
	}
)

const exampleBackup = `{"id":7,"created":"2026-11-22T10:00:00Z","bytes":8192,"files":6}`

var backupParam = openapi.Param{Name: "id", In: "path", Required: true, Of: 0, Description: "The backup's number."}

func (a *Admin) backupRoutes() []rest.Route {
	list := []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[backupList](`{"backups":[` + exampleBackup + `]}`)}}}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/backup", Role: auth.Admin, ID: "createBackup", Tag: tag,
			Summary: "Add a backup to storage.backup_dir",
			Description: "Backups are incremental: table files that an earlier one has aren't copied again. Writes go on. A backup can't be canceled. " +
				"Restore one with themis_server --restore. " + waitNote,
			Params:  []openapi.Param{waitParam},
			Answers: workAnswers[backupWork]("backup", "/var/lib/vccdb/backups", `{"backup":`+exampleBackup+`,"job":JOB}`, `{"job":JOB}`),
		}, Handle: a.createBackup},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/admin/backups", Role: auth.Admin, ID: "listBackups", Tag: tag,
			Summary: "List the backups", Answers: list,
		}, Handle: a.listBackups},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/backups/{id}/verify", Role: auth.Admin, ID: "verifyBackup", Tag: tag,
			Summary: "Compare a backup's files with their checksums", Description: waitNote,
			Params:  []openapi.Param{backupParam, waitParam},
			Answers: workAnswers[verification]("backup_verify", "/var/lib/vccdb/backups@7", `{"sound":true,"findings":[],"job":JOB}`, `{"sound":false,"findings":[],"job":JOB}`),
		}, Handle: a.verifyBackup},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/backups/purge", Role: auth.Admin, ID: "purgeBackups", Tag: tag,
			Summary:     "Remove all but the newest backups",
			Description: "Files that a remaining backup shares stay. The answer lists what is left.",
			Body:        []openapi.Media{openapi.JSON[purgeRequest](`{"keep":7}`)}, Answers: list,
		}, Handle: a.purgeBackups},
	}
}

func backupOf(b *engine.Backup) *backup {
	return &backup{ID: b.ID, Created: b.Created, Bytes: b.Bytes, Files: b.Files}
}

func (a *Admin) createBackup(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	work, err := a.o.Database.CreateBackup()
	if err != nil {
		return err
	}
	status, err := waitFor(c, wait, work.Job)
	if err != nil {
		return err
	}
	answer := backupWork{Job: work.Job.Status()}
	if status == http.StatusOK {
		result := work.Result()
		answer.Backup = backupOf(&result)
	}
	return rest.Answer(c, status, answer)
}

func (a *Admin) listBackups(c fiber.Ctx) error {
	list, err := a.o.Database.Backups()
	if err != nil {
		return err
	}
	out := backupList{Backups: make([]backup, len(list))}
	for i := range list {
		out.Backups[i] = *backupOf(&list[i])
	}
	return rest.Answer(c, http.StatusOK, out)
}

func (a *Admin) verifyBackup(c fiber.Ctx) error {
	text, err := rest.PathText(c, "id")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errs.New(errs.Invalid, "invalid_backup_id", "a backup's id is a number, not %q", text)
	}
	work, err := a.o.Database.VerifyBackup(uint32(id))
	if err != nil {
		return err
	}
	return answerVerification(c, work)
}

func (a *Admin) purgeBackups(c fiber.Ctx) error {
	req, err := rest.Decode[purgeRequest](c.BodyRaw())
	if err != nil {
		return err
	}
	if err := a.o.Database.PurgeBackups(req.Keep); err != nil {
		return err
	}
	return a.listBackups(c)
}
