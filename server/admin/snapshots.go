package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// Wire types of snapshots.
type (
	createSnapshotRequest struct {
		Name string `json:"name,omitzero" doc:"1 to 128 letters, digits and -_. beginning with a letter or digit. Without name and path, the snapshot is named by the time."`
		Path string `json:"path,omitzero" doc:"Instead of a name: an absolute path, which is one of storage.snapshot_dirs, a slash and a name."`
	}
	snapshot struct {
		Name     string     `json:"name"`
		Path     string     `json:"path"`
		Created  *time.Time `json:"created,omitzero"`
		Sequence uint64     `json:"sequence" doc:"The newest change in it; it holds exactly the state after that."`
		Bytes    int64      `json:"bytes" doc:"The sum of its files. Table files share their space with the running database until that replaces them."`
		Files    int        `json:"files"`
		Version  string     `json:"version,omitzero" doc:"The server that made it."`
		Damaged  string     `json:"damaged,omitzero" doc:"Set if its manifest can't be read: why. The figures are 0 then."`
	}
	snapshotList struct {
		Snapshots []snapshot `json:"snapshots" doc:"Oldest first."`
	}
	snapshotWork struct {
		Snapshot *snapshot   `json:"snapshot,omitzero" doc:"Set when it is done."`
		Job      jobs.Status `json:"job"`
	}
	// verification is the answer for snapshots and backups alike.
	verification struct {
		Sound    bool        `json:"sound" doc:"Every file is there and has the checksum it was made with. False while the job runs."`
		Findings []string    `json:"findings" doc:"What is wrong, a sentence each, naming the file."`
		Job      jobs.Status `json:"job"`
	}
	snapshotDeleted struct {
		Name    string `json:"name"`
		Deleted bool   `json:"deleted"`
	}
)

const (
	waitNote = "Answers 200 when the work is done. With wait=false, or if it takes longer than the request may, it answers 202 with the job, " +
		"which goes on; Location is /jobs/{id}."
	exampleSnapshot = `{"name":"nightly","path":"/var/lib/vccdb/snapshots/nightly","created":"2026-11-22T10:00:00Z","sequence":42,"bytes":8192,"files":6,"version":"1.0.0"}`
)

var (
	waitParam = openapi.Param{Name: "wait", In: "query", Of: false, Default: "true",
		Description: "false answers 202 with the job at once."}
	snapshotParam = openapi.Param{Name: "name", In: "path", Required: true, Description: "The snapshot's name."}
)

// exampleJob is the job of an example, done or running.
func exampleJob(kind, subject, state string) string {
	job := `{"id":"7f0c2a5e-0000-4000-8000-000000000000","kind":"` + kind + `","subject":"` + subject + `","state":"` + state + `","done":8192,"total":8192,"started":"2026-11-22T10:00:00Z"`
	if state == string(jobs.Done) {
		job += `,"finished":"2026-11-22T10:00:01Z"`
	}
	return job + "}"
}

// workAnswers are those of an operation that starts a job; the example has JOB
// where that stands.
func workAnswers[T any](kind, subject, done, running string) []openapi.Answer {
	example := func(text string, state jobs.State) []openapi.Media {
		return []openapi.Media{openapi.JSON[T](strings.ReplaceAll(text, "JOB", exampleJob(kind, subject, string(state))))}
	}
	return []openapi.Answer{
		{Status: 200, Description: "It is done.", Media: example(done, jobs.Done)},
		{Status: 202, Description: "It goes on as a job.", Media: example(running, jobs.Running)},
	}
}

func (a *Admin) snapshotRoutes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/snapshot", Role: auth.Admin, ID: "createSnapshot", Tag: tag,
			Summary: "Take a snapshot of everything",
			Description: "A snapshot holds exactly the state at one sequence, while writes go on. Table files are hard links where the file system allows it, so it is quick; " +
				"then every file is read once for its checksum. Restore one with themis_server --restore. " + waitNote,
			Params: []openapi.Param{waitParam},
			Body:   []openapi.Media{openapi.JSON[createSnapshotRequest](`{"name":"nightly"}`)}, OptionalBody: true,
			Answers: workAnswers[snapshotWork]("snapshot", "nightly", `{"snapshot":`+exampleSnapshot+`,"job":JOB}`, `{"job":JOB}`),
		}, Handle: a.createSnapshot},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/admin/snapshots", Role: auth.Admin, ID: "listSnapshots", Tag: tag,
			Summary: "List the snapshots",
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[snapshotList](`{"snapshots":[` + exampleSnapshot + `]}`)}}},
		}, Handle: a.listSnapshots},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/admin/snapshots/{name}/verify", Role: auth.Admin, ID: "verifySnapshot", Tag: tag,
			Summary: "Compare a snapshot's files with their checksums", Description: waitNote,
			Params:  []openapi.Param{snapshotParam, waitParam},
			Answers: workAnswers[verification]("snapshot_verify", "nightly", `{"sound":true,"findings":[],"job":JOB}`, `{"sound":false,"findings":[],"job":JOB}`),
		}, Handle: a.verifySnapshot},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/admin/snapshots/{name}/download", Role: auth.Admin, ID: "downloadSnapshot", Tag: tag,
			Summary: "Download a snapshot as a tar file",
			Description: "The archive holds the snapshot's folder, NAME/manifest.json first; unpacked, themis_server --restore takes it. " +
				"Every file is compared with its checksum on the way: if one is damaged, the connection ends before Content-Length is reached. " +
				"The snapshot can't be deleted meanwhile; at most 8 downloads go on at a time.",
			Params:  []openapi.Param{snapshotParam},
			Answers: []openapi.Answer{{Status: 200, Description: "The tar file.", Media: []openapi.Media{{Type: rest.TarType}}}},
		}, Handle: a.downloadSnapshot},
		{Operation: openapi.Operation{
			Method: "DELETE", Path: "/admin/snapshots/{name}", Role: auth.Admin, ID: "deleteSnapshot", Tag: tag,
			Summary: "Delete a snapshot", Params: []openapi.Param{snapshotParam},
			Answers: []openapi.Answer{{Status: 200, Media: []openapi.Media{openapi.JSON[snapshotDeleted](`{"name":"nightly","deleted":true}`)}}},
		}, Handle: a.deleteSnapshot},
	}
}

func snapshotOf(s *engine.Snapshot) *snapshot {
	out := &snapshot{Name: s.Name, Path: s.Path, Sequence: s.Sequence, Bytes: s.Bytes, Files: s.Files, Version: s.Version, Damaged: s.Damaged}
	if !s.Created.IsZero() {
		out.Created = &s.Created
	}
	return out
}

func (a *Admin) createSnapshot(c fiber.Ctx) error {
	wait, err := rest.QueryBool(c, "wait", true)
	if err != nil {
		return err
	}
	req := &createSnapshotRequest{}
	if body := c.BodyRaw(); len(body) > 0 {
		if req, err = rest.Decode[createSnapshotRequest](body); err != nil {
			return err
		}
	}
	work, err := a.o.Database.CreateSnapshot(engine.SnapshotRef{Name: req.Name, Path: req.Path})
	if err != nil {
		if req.Path != "" {
			return rest.PrefixFields(err, "/path")
		}
		return rest.PrefixFields(err, "/name")
	}
	status, err := waitFor(c, wait, work.Job)
	if err != nil {
		return err
	}
	answer := snapshotWork{Job: work.Job.Status()}
	if status == http.StatusOK {
		result := work.Result()
		answer.Snapshot = snapshotOf(&result)
	}
	return rest.Answer(c, status, answer)
}

func (a *Admin) listSnapshots(c fiber.Ctx) error {
	list, err := a.o.Database.Snapshots()
	if err != nil {
		return err
	}
	out := snapshotList{Snapshots: make([]snapshot, len(list))}
	for i := range list {
		out.Snapshots[i] = *snapshotOf(&list[i])
	}
	return rest.Answer(c, http.StatusOK, out)
}

func (a *Admin) verifySnapshot(c fiber.Ctx) error {
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	work, err := a.o.Database.VerifySnapshot(name)
	if err != nil {
		return err
	}
	return answerVerification(c, work)
}

func (a *Admin) downloadSnapshot(c fiber.Ctx) error {
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	archive, err := a.o.Database.ArchiveSnapshot(request.Lifetime(c), name)
	if err != nil {
		return err
	}
	request.Of(c).Audited = true // it is all of the data
	return rest.Download(c, archive.Name+".tar", rest.TarType, archive, archive.Bytes)
}

func (a *Admin) deleteSnapshot(c fiber.Ctx) error {
	name, err := rest.PathText(c, "name")
	if err != nil {
		return err
	}
	if err := a.o.Database.DeleteSnapshot(name); err != nil {
		return err
	}
	return rest.Answer(c, http.StatusOK, snapshotDeleted{name, true})
}
