package engine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The credentials of an ObjectStore's only account.
const (
	AccessKey = "gatehouse"
	SecretKey = "gatehouse-secret"
)

// ObjectStore is an S3 server of our own (versitygw) over a directory.
type ObjectStore struct {
	Port   int
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	log    *bytes.Buffer
}

// Bucket is an empty bucket on a server, and how to reach it.
type Bucket struct {
	Endpoint             string // its URL
	Region, Name         string
	AccessKey, SecretKey string
}

// NewObjectStore takes a port for a server that keeps what it has under dir.
func NewObjectStore(dir string) (*ObjectStore, error) {
	o := &ObjectStore{Port: FreePort(), dir: dir}
	return o, errors.Join(os.MkdirAll(o.buckets(), 0o700), os.MkdirAll(o.metadata(), 0o700))
}

func (o *ObjectStore) buckets() string { return filepath.Join(o.dir, "buckets") }

// metadata has what would be extended attributes, which not every file system has.
func (o *ObjectStore) metadata() string { return filepath.Join(o.dir, "metadata") }

// URL is how to reach it.
func (o *ObjectStore) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", o.Port) }

// Start starts the server and waits until it listens. After Kill it starts again
// on the same port, with what it had.
func (o *ObjectStore) Start() error {
	program, err := versitygw()
	if err != nil {
		return err
	}
	o.log = new(bytes.Buffer)
	o.cmd = exec.Command(program, "--port", "127.0.0.1:"+strconv.Itoa(o.Port), "--quiet", "--keep-alive", "posix", "--sidecar", o.metadata(), o.buckets())
	o.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	o.cmd.SysProcAttr, o.cmd.Dir = attributes(nil), o.dir
	o.cmd.Stdout, o.cmd.Stderr = o.log, o.log
	if err := o.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	o.exited = exited
	go func() { o.cmd.Wait(); close(exited) }()
	return await("versitygw", exited, o.log, func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(o.Port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Kill ends it by SIGKILL.
func (o *ObjectStore) Kill() {
	if o.cmd == nil || o.cmd.Process == nil {
		return
	}
	o.cmd.Process.Signal(syscall.SIGKILL)
	<-o.exited
}

// Pause stops it without ending connections, and Resume goes on.
func (o *ObjectStore) Pause()  { o.cmd.Process.Signal(syscall.SIGSTOP) }
func (o *ObjectStore) Resume() { o.cmd.Process.Signal(syscall.SIGCONT) }

// NewBucket makes an empty bucket: to this server, a directory.
func (o *ObjectStore) NewBucket() (Bucket, error) {
	b := Bucket{Endpoint: o.URL(), Region: "us-east-1", Name: strings.ToLower(rand.Text()), AccessKey: AccessKey, SecretKey: SecretKey}
	return b, os.Mkdir(filepath.Join(o.buckets(), b.Name), 0o700)
}

// versitygw finds the server, which no distribution has, where its module's
// build puts it.
func versitygw() (string, error) {
	if program, err := exec.LookPath("versitygw"); err == nil {
		return program, nil
	}
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		program := filepath.Join(dir, "bin", "tools", "versitygw")
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() {
			return program, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.New("versitygw is not installed; at the root of the repository: " +
		`(cd tools/engines && GOBIN="$PWD/../../bin/tools" go install tool)`)
}

var sharedS3 = sync.OnceValues(func() (*ObjectStore, error) {
	dir, err := os.MkdirTemp("", "gatehouse-s3")
	if err != nil {
		return nil, err
	}
	if err := removeAtExit(dir); err != nil {
		return nil, err
	}
	o, err := NewObjectStore(dir)
	if err != nil {
		return nil, err
	}
	return o, o.Start()
})

// S3 is a fresh bucket on a server that the tests of this process share.
func S3(t testing.TB) Bucket {
	t.Helper()
	o, err := sharedS3()
	if err != nil {
		t.Fatal(err)
	}
	b, err := o.NewBucket()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
