package extract

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attributes make a child that dies with its parent and, isolated, has a
// network without interfaces and the right to lose its root directory.
func attributes(isolated bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if isolated {
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// refusesNamespaces tells whether a child may start where it keeps its
// parent's: containers and hardened kernels answer these.
func refusesNamespaces(err error) bool {
	var missing *exec.Error
	if errors.As(err, &missing) || errors.Is(err, os.ErrNotExist) {
		return false
	}
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.EINVAL, syscall.ENOSPC, syscall.ENOSYS, syscall.EUSERS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// killed reports a death that nobody here caused: the kernel was short of memory.
func killed(s *os.ProcessState) bool {
	w, ok := s.Sys().(syscall.WaitStatus)
	return ok && w.Signaled() && w.Signal() == syscall.SIGKILL
}

// lockDown gives up, in a child, what reading a document does not need. It
// reports whether the process has neither network nor files to see.
func lockDown(l Limits) (isolated bool, err error) {
	runtime.GOMAXPROCS(1) // beside the parser only the collector works
	debug.SetMemoryLimit(l.Memory * 3 / 4)
	debug.SetMaxStack(64 << 20)
	data, space, err := footprint()
	if err != nil {
		return false, err
	}
	lone := loneUser() // before there are no files to see
	isolated = syscall.Chroot(".") == nil && lone
	seconds := uint64((l.CPU + time.Second - 1) / time.Second)
	signal.Ignore(syscall.SIGXCPU) // the hard limit kills, a second later
	for _, r := range []struct {
		what       int
		soft, hard uint64
	}{
		{syscall.RLIMIT_CPU, seconds, seconds + 1},
		{syscall.RLIMIT_DATA, data + uint64(l.Memory), data + uint64(l.Memory)},
		{syscall.RLIMIT_AS, space + 2*uint64(l.Memory), space + 2*uint64(l.Memory)},
		{syscall.RLIMIT_FSIZE, 0, 0},
		{syscall.RLIMIT_CORE, 0, 0},
		{syscall.RLIMIT_NOFILE, 3, 3}, // the three that are open
	} {
		if err := syscall.Setrlimit(r.what, &syscall.Rlimit{Cur: r.soft, Max: r.hard}); err != nil {
			return false, err
		}
	}
	return isolated, nil
}

// footprint is what the process has now: private writable memory, and addresses.
func footprint() (data, space uint64, err error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		kib, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmData":
			data = kib << 10
		case "VmSize":
			space = kib << 10
		}
	}
	if data == 0 || space == 0 {
		return 0, 0, errors.New("the process does not know its size")
	}
	return data, space, nil
}

// loneUser reports whether this is a user namespace of one user, so not the
// machine's: what attributes makes.
func loneUser() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && len(f) == 3 && f[2] == "1"
}
