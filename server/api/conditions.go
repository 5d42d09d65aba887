package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// conditions are the preconditions of a write (RFC 9110, section 13). An ETag is
// the entity's version in quotes. A weak one (W/"3") counts as the strong one:
// proxies that compress weaken tags, and a version is never ambiguous.
type conditions struct {
	// exists is If-Match: *; versions is If-Match with tags, not nil if given.
	exists   bool
	versions []uint64
	// absent is If-None-Match: *.
	absent bool
}

// writeConditions reads If-Match and If-None-Match of a write. mayCreate says
// that the write can make a new entity.
func writeConditions(c fiber.Ctx, mayCreate bool) (conditions, error) {
	var cond conditions
	if header := c.Get(fiber.HeaderIfMatch); header != "" {
		cond.exists = strings.TrimSpace(header) == "*"
		if !cond.exists {
			cond.versions = etagVersions(header)
		}
	}
	if header := c.Get(fiber.HeaderIfNoneMatch); header != "" {
		if strings.TrimSpace(header) != "*" || !mayCreate {
			return cond, errs.New(errs.Invalid, "invalid_header", "of If-None-Match only * is known for writes, and only where they can create")
		}
		cond.absent = true
	}
	return cond, nil
}

// etagVersions lists the versions that a list of tags names. Tags that aren't
// ours match nothing, so they are left out; the result is never nil.
func etagVersions(header string) []uint64 {
	versions := []uint64{}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if version, err := strconv.ParseUint(strings.Trim(tag, `"`), 10, 64); err == nil {
			versions = append(versions, version)
		}
	}
	return versions
}

// noneMatch reports whether If-None-Match says that the client has this version
// of an existing entity already.
func noneMatch(c fiber.Ctx, version uint64) bool {
	header := c.Get(fiber.HeaderIfNoneMatch)
	return strings.TrimSpace(header) == "*" || header != "" && slices.Contains(etagVersions(header), version)
}

// maxWriteAttempts bounds the retries of a write on "any version" against others
// that keep changing the entity.
const maxWriteAttempts = 10

// write applies one op under the conditions.
func (a *API) write(ctx context.Context, op engine.Op, cond conditions) (engine.OpResult, error) {
	op.IfAbsent = cond.absent
	switch {
	case cond.exists || len(cond.versions) > 1:
		return a.writeIfMatches(ctx, op, cond)
	case len(cond.versions) == 1:
		op.IfVersion = &cond.versions[0]
	case cond.versions != nil:
		op.IfVersion = new(uint64) // only foreign tags; 0 is no entity's version
	}
	return a.applyOne(ctx, op)
}

// writeIfMatches is write for a condition that several versions meet: it reads
// the present one and writes on top of exactly that.
func (a *API) writeIfMatches(ctx context.Context, op engine.Op, cond conditions) (engine.OpResult, error) {
	for attempt := 1; ; attempt++ {
		version, err := a.matchingVersion(ctx, op.Key, cond)
		if err != nil {
			return engine.OpResult{}, err
		}
		op.IfVersion = &version
		result, err := a.applyOne(ctx, op)
		if errs.KindOf(err) != errs.Precondition || err == nil || attempt == maxWriteAttempts {
			return result, err
		}
	}
}

// matchingVersion is the entity's present version if the conditions allow it.
func (a *API) matchingVersion(ctx context.Context, key engine.Key, cond conditions) (uint64, error) {
	found, err := a.db.Get(ctx, []engine.Key{key}, false)
	switch {
	case err != nil:
		return 0, err
	case found[0] == nil:
		return 0, errs.New(errs.Precondition, "version_mismatch", "%s doesn't exist, so If-Match failed; nothing was changed", key)
	case !cond.exists && !slices.Contains(cond.versions, found[0].Version):
		return 0, errs.New(errs.Precondition, "version_mismatch",
			"%s has version %d, which If-Match doesn't list; nothing was changed", key, found[0].Version)
	}
	return found[0].Version, nil
}

func (a *API) applyOne(ctx context.Context, op engine.Op) (engine.OpResult, error) {
	results, err := a.db.Apply(ctx, []engine.Op{op}, false)
	if err != nil {
		return engine.OpResult{}, err
	}
	return results[0], results[0].Err
}
