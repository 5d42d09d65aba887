package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSOptions name PEM files. They are read again while the server runs.
type TLSOptions struct {
	CertFile, KeyFile string
	// ClientCAFile holds the authorities of client certificates, which every
	// connection needs then; empty asks for none. A client certificate opens the
	// connection only: requests need their key all the same.
	ClientCAFile string
}

// Validate reads the files once.
func (o *TLSOptions) Validate() error {
	files, err := o.read()
	if err != nil {
		return err
	}
	_, err = files.config()
	return err
}

// pemFiles are the contents of the files.
type pemFiles struct{ cert, key, clientCA []byte }

func (o *TLSOptions) read() (f pemFiles, err error) {
	for _, file := range []struct {
		name string
		into *[]byte
	}{{o.CertFile, &f.cert}, {o.KeyFile, &f.key}, {o.ClientCAFile, &f.clientCA}} {
		if file.name == "" && file.into == &f.clientCA {
			continue
		}
		if *file.into, err = os.ReadFile(file.name); err != nil {
			return f, fmt.Errorf("a TLS file can't be read: %w", err)
		}
	}
	return f, nil
}

func (f *pemFiles) equal(g *pemFiles) bool {
	return bytes.Equal(f.cert, g.cert) && bytes.Equal(f.key, g.key) && bytes.Equal(f.clientCA, g.clientCA)
}

// config leaves versions and ciphers to package tls, whose defaults are TLS 1.2
// and 1.3 with what is deemed safe.
func (f *pemFiles) config() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate and key can't be used: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if f.clientCA != nil {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(f.clientCA) {
			return nil, errors.New("the TLS file of client authorities holds no certificate")
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		// A session that is taken up again isn't held against today's authorities.
		c.SessionTicketsDisabled = true
	}
	return c, nil
}

// recheck is how often handshakes look at the files at most.
const recheck = time.Second

// certificates serve handshakes from the latest files that were usable.
// Connections keep what they began with.
type certificates struct {
	o      TLSOptions
	logger *slog.Logger
	now    func() time.Time
	mu     struct {
		sync.Mutex
		// tried are the contents seen last, used or not; config is from the last
		// usable ones.
		tried   pemFiles
		config  *tls.Config
		checked time.Time
		// readErr is the last complaint about reading them.
		readErr string
	}
}

func newCertificates(o TLSOptions, logger *slog.Logger) (*certificates, error) {
	files, err := o.read()
	if err != nil {
		return nil, err
	}
	c := &certificates{o: o, logger: logger, now: time.Now}
	if c.mu.config, err = files.config(); err != nil {
		return nil, err
	}
	c.mu.tried, c.mu.checked = files, c.now()
	return c, nil
}

// serverConfig is what connections begin with.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }}
}

// current looks at the files if that is due. Their contents are compared, as
// they are small and times of change can be coarse or set back.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.mu.checked) >= recheck {
		c.mu.checked = now
		c.reloadLocked()
	}
	return c.mu.config
}

func (c *certificates) reloadLocked() {
	files, err := c.o.read()
	if err != nil {
		if text := err.Error(); text != c.mu.readErr {
			c.mu.readErr = text
			c.logger.Error("the TLS certificates were not reloaded; the previous ones stay in use", "error", err)
		}
		return
	}
	c.mu.readErr = ""
	if files.equal(&c.mu.tried) {
		return
	}
	c.mu.tried = files
	config, err := files.config()
	if err != nil {
		c.logger.Error("the changed TLS certificates can't be used; the previous ones stay in use", "error", err)
		return
	}
	c.mu.config = config
	c.logger.Info("the changed TLS certificates are in use for new connections")
}
