package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// probeTime is how long a process may take to say how it is; shorter than what
// container engines wait.
const probeTime = 2 * time.Second

// askRunning asks the metrics listener of a running process whether it is
// ready. It is what a container's health check runs: the image has no shell.
func askRunning(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", res.StatusCode)
	}
	return nil
}
