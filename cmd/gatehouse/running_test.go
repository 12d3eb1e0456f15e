package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAHealthCheckTellsReadyFromNot(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	if err := askRunning(t.Context(), srv.URL); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := askRunning(t.Context(), srv.URL+"/"); err == nil {
		t.Error("503 counts as ready")
	}
	srv.Close()
	if err := askRunning(t.Context(), srv.URL); err == nil {
		t.Error("nobody there counts as ready")
	}
}
