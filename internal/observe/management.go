package observe

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gatehouse"
)

// Management makes a span of every call to the management plane, named by its
// operation and never by its path, which holds ids. What is no operation, such
// as the streams of gateways, passes untouched: a stream is a span without end.
func (t *Telemetry) Management(next http.Handler) http.Handler {
	if t == nil || t.tracer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, ok := operationFor(r.Method, r.URL.Path)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method+" "+op.Path, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(httpMethod.String(r.Method), httpRoute.String(op.Path), operation.String(string(op.Name))))
		defer span.End()
		told := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(told, r.WithContext(ctx))
		answered(span, told.status, "")
		if id := w.Header().Get("X-Request-Id"); id != "" {
			span.SetAttributes(requestID.String(id))
		}
	})
}

// operationFor finds the operation of a call. A literal segment wins over a
// placeholder, as in the router.
func operationFor(method, path string) (best gatehouse.OperationInfo, found bool) {
	got, most := strings.Split(path, "/"), -1
	for _, op := range gatehouse.Operations {
		if op.Method != method {
			continue
		}
		if n := literals(strings.Split(op.Path, "/"), got); n > most {
			best, most, found = op, n, true
		}
	}
	return best, found
}

// literals counts the segments that agree to the letter; -1 when the pattern
// does not fit.
func literals(pattern, path []string) (n int) {
	if len(pattern) != len(path) {
		return -1
	}
	for i, p := range pattern {
		switch {
		case p == path[i]:
			n++
		case !strings.HasPrefix(p, "{"):
			return -1
		}
	}
	return n
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 { // what comes before is not the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
