package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peerSources are the programs that drive other libraries.
//
//go:embed peers/*.cc peers/*.h
var peerSources embed.FS

// peer is another library, compiled on the spot.
type peer struct {
	name, source string
	// pkg is the Debian package that it comes from.
	pkg string
	// flags are for the compiler, in front of the source, libraries come behind it.
	flags, libraries []string
	// env is what it gets besides our own environment.
	env []string
}

func knownPeers() []peer {
	hnswlib := peer{name: "hnswlib", source: "hnswlib.cc", pkg: "libhnswlib-dev", flags: []string{"-pthread"}}
	// Our index asks the system for huge pages; so does malloc with this.
	huge := hnswlib
	huge.name, huge.env = "hnswlib-huge", []string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"}
	flat := peer{
		name: "faiss-flat", source: "faiss.cc", pkg: "libfaiss-dev",
		flags: []string{"-fopenmp"}, libraries: []string{"-lfaiss", "-llapack", "-lblas"},
	}
	sq8 := flat
	sq8.name, sq8.flags = "faiss-sq8", []string{"-fopenmp", "-DSQ8"}
	return []peer{hnswlib, huge, flat, sq8}
}

func findPeer(name string) (peer, bool) {
	all := knownPeers()
	i := slices.IndexFunc(all, func(p peer) bool { return p.name == name })
	if i < 0 {
		return peer{}, false
	}
	return all[i], true
}

// errNoPeer says that a peer can't be compiled here.
var errNoPeer = errors.New("go tool task bench:deps installs the compiler and the libraries of the peers")

// compile makes the program in dir and returns its name.
func (p *peer) compile(ctx context.Context, compiler, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, file := range []string{p.source, "peer.h"} {
		text, err := peerSources.ReadFile("peers/" + file)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, p.name)
	args := slices.Concat([]string{"-O3", "-march=native", "-std=c++17"}, p.flags, []string{"-o", program, filepath.Join(dir, p.source)}, p.libraries)
	if text, err := exec.CommandContext(ctx, compiler, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the peer %s doesn't compile: %w\n%s\n%w", p.name, err, firstLines(string(text), 10), errNoPeer)
	}
	return program, nil
}

// version is the version of the package, if the system knows.
func (p *peer) version(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", p.pkg).Output()
	if err != nil {
		return "of unknown version"
	}
	return string(text)
}

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}
