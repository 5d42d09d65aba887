package snapshot

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
)

// maxArchives bounds the archives that are open at a time: each keeps a disk as
// busy as its reader allows.
const maxArchives = 8

// Archive is a snapshot as one tar file: its folder, with the manifest first, so
// that what is unpacked is a snapshot again. It is read in constant memory, and
// nothing is written for it.
//
// Each file is compared with its checksum on the way, and Read fails at the end
// of one that is damaged: an archive that was read to its end is sound. While it
// is open its snapshot can't be deleted. One goroutine at a time may read, and
// any may close it.
type Archive struct {
	Name    string
	Created time.Time
	// Bytes is the length of the tar file.
	Bytes int64

	ctx  context.Context
	root *os.Root
	// close is what Close does, once.
	close func() error

	mu struct {
		sync.Mutex
		closed bool
		// rest are the files that weren't begun, part is what is left of the one
		// under way, with its header and padding.
		rest []File
		part io.Reader
		file *os.File
	}
}

// Archive opens the snapshot with that name as a tar file; reading it ends with
// ctx. Errors are NotFound "snapshot_not_found", Corrupt "snapshot_damaged",
// Conflict "snapshot_busy" and Unavailable "too_many_downloads".
func (f *Folders) Archive(ctx context.Context, name string) (*Archive, error) {
	if err := f.claimToRead(name); err != nil {
		return nil, err
	}
	parent, folder, err := f.find(name)
	if err != nil {
		f.releaseFromReading(name)
		return nil, err
	}
	parent.Close()
	a := &Archive{Name: name, ctx: ctx, root: folder}
	a.close = sync.OnceValue(func() error {
		f.releaseFromReading(name)
		return folder.Close()
	})
	if err := a.list(); err != nil {
		a.Close()
		return nil, errs.Wrap(err, errs.Corrupt, "snapshot_damaged", "the snapshot %s can't be packed, as it is damaged; verify it to see what is wrong", name)
	}
	return a, nil
}

// list finds out what is in the archive and how long it is. That all files are
// there is known before the first byte is sent.
func (a *Archive) list() error {
	m, err := readManifest(a.root)
	if err != nil {
		return err
	}
	info, err := a.root.Lstat(manifestName)
	if err != nil {
		return err
	}
	a.Created = m.Created
	a.mu.rest = append([]File{{Path: manifestName, Bytes: info.Size()}}, m.Files...)
	for i := range a.mu.rest {
		file := &a.mu.rest[i]
		if !local(file.Path) {
			return fmt.Errorf("the manifest names a file outside the snapshot: %q", file.Path)
		}
		info, err := a.root.Lstat(file.Path)
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular() || info.Size() != file.Bytes:
			return fmt.Errorf("%s isn't the file that the manifest names", file.Path)
		}
		header, err := a.header(file)
		if err != nil {
			return err
		}
		a.Bytes += int64(len(header)) + file.Bytes + padding(file.Bytes)
	}
	a.Bytes += tarEnd
	a.mu.part = bytes.NewReader(nil)
	return nil
}

// The unit of a tar file, and the zeros that end it.
const (
	tarBlock = 512
	tarEnd   = 2 * tarBlock
)

// padding is how many zeros follow a file of that size.
func padding(size int64) int64 { return (tarBlock - size%tarBlock) % tarBlock }

// header is what stands before a file.
func (a *Archive) header(f *File) ([]byte, error) {
	var header bytes.Buffer
	err := tar.NewWriter(&header).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: a.Name + "/" + f.Path, Size: f.Bytes, Mode: 0o640, ModTime: a.Created.Truncate(time.Second),
	})
	return header.Bytes(), err
}

// Read reads the tar file.
func (a *Archive) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		switch {
		case a.mu.closed:
			return 0, os.ErrClosed
		case a.ctx.Err() != nil:
			return 0, context.Cause(a.ctx)
		}
		n, err := a.mu.part.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if err := a.nextLocked(); err != nil {
			return 0, err
		}
	}
}

// nextLocked goes on to the next file, to the end of the tar file after the last
// one, and to io.EOF after that.
func (a *Archive) nextLocked() error {
	a.closeFileLocked()
	if a.mu.rest == nil {
		return io.EOF
	}
	if len(a.mu.rest) == 0 {
		a.mu.rest, a.mu.part = nil, zeros(tarEnd)
		return nil
	}
	next := a.mu.rest[0]
	a.mu.rest = a.mu.rest[1:]
	header, err := a.header(&next)
	if err != nil {
		return err
	}
	file, err := openRegular(a.root, next.Path)
	if err != nil {
		return err
	}
	a.mu.file = file
	content := &checked{in: io.LimitReader(file, next.Bytes), file: next, sum: sha256.New()}
	a.mu.part = io.MultiReader(bytes.NewReader(header), content, zeros(padding(next.Bytes)))
	return nil
}

func zeros(n int64) io.Reader { return bytes.NewReader(make([]byte, n)) }

func (a *Archive) closeFileLocked() {
	if a.mu.file != nil {
		a.mu.file.Close()
		a.mu.file = nil
	}
}

// Close ends the archive, read to its end or not.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.closed = true
	a.closeFileLocked()
	return a.close()
}

// checked reads a file and fails at its end if it isn't what the manifest says.
type checked struct {
	in   io.Reader
	file File
	sum  hash.Hash
	read int64
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.sum.Write(p[:n])
	c.read += int64(n)
	// The check comes with the last byte: without it the file would be whole for a
	// reader that stops there.
	if c.read == c.file.Bytes && n > 0 || err == io.EOF {
		if why := c.wrong(); why != "" {
			return 0, errs.New(errs.Corrupt, "snapshot_damaged", "%s %s", c.file.Path, why)
		}
	}
	return n, err
}

func (c *checked) wrong() string {
	switch {
	case c.read != c.file.Bytes:
		return "has become shorter"
	case c.file.SHA256 != "" && hex.EncodeToString(c.sum.Sum(nil)) != c.file.SHA256:
		return "is damaged: its checksum is wrong"
	}
	return ""
}
