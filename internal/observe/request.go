package observe

import (
	"context"
	crand "crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gatehouse"
	"gatehouse/internal/gateway"
)

// Settled makes the spans and points of a request. It is a
// [gateway.Config.OnSettled]: it neither blocks nor fails.
func (t *Telemetry) Settled(s *gateway.Settled) {
	if t == nil {
		return
	}
	// The request is answered and its record closed. Whatever breaks here must
	// not break the connection it came on.
	defer func() {
		if recover() != nil {
			t.dropped.Add(1)
		}
	}()
	ctx := parent(s.Traceparent, s.Tracestate)
	if t.tracer != nil {
		ctx = t.server(ctx, s)
	}
	if t.genai != nil && s.Upstream != nil {
		t.genai.record(ctx, s)
	}
}

// parent is the trace that the client says it is in.
func parent(traceparent, tracestate string) context.Context {
	if traceparent == "" {
		return context.Background()
	}
	return propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate})
}

// server makes the span of the whole request and, within it, the upstream's.
func (t *Telemetry) server(ctx context.Context, s *gateway.Settled) context.Context {
	route := s.Route.Path
	if route == "" {
		route = "unknown"
	}
	ctx, span := t.tracer.Start(ctx, s.Method+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(s.Start))
	if span.IsRecording() {
		span.SetAttributes(httpMethod.String(s.Method), httpRoute.String(route), requestID.String(s.RequestID))
		answered(span, s.Status, s.Slug)
		if !s.KeyID.IsZero() {
			span.SetAttributes(teamID.String(s.TeamID.String()), keyID.String(s.KeyID.String()))
		}
		if s.Upstream != nil {
			t.client(ctx, s)
		}
	}
	span.End(trace.WithTimestamp(s.Start.Add(s.Latency)))
	return ctx
}

// answered sets the status of a server's span: by the conventions a client's
// mistake is no error of the server.
func answered(span trace.Span, status int, slug string) {
	if status != 0 {
		span.SetAttributes(httpStatus.Int(status))
	}
	if what := problem(status, slug); what != "" {
		span.SetAttributes(errorType.String(what))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, what)
		}
	}
}

// problem names what went wrong: our error, else the status, empty for none.
func problem(status int, slug string) string {
	switch {
	case slug != "":
		return slug
	case status == 0:
		return "client_gone"
	case status >= 400:
		return strconv.Itoa(status)
	}
	return ""
}

// client makes the span of the exchange with the upstream, retries included. Its
// id is the one that the upstream was told in traceparent, so that spans of an
// upstream that traces fall below it.
func (t *Telemetry) client(ctx context.Context, s *gateway.Settled) {
	attrs := append(genAttributes(s), upstreamName.String(s.Upstream.Name), attempts.Int(s.Attempts),
		genInput.Int64(s.Usage.Prompt()), genOutput.Int64(s.Usage.Completion()), outcome.String(string(s.Outcome)))
	attrs = append(attrs, details(s)...)
	ctx = context.WithValue(ctx, spanIDKey{}, trace.SpanID(s.RecordID[8:]))
	_, span := t.tracer.Start(ctx, spanName(s), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(s.Start.Add(s.Sent)), trace.WithAttributes(attrs...))
	if what := problem(s.Status, s.Slug); what != "" {
		span.SetAttributes(errorType.String(what))
		span.SetStatus(codes.Error, what)
	}
	span.End(trace.WithTimestamp(s.Start.Add(s.Latency)))
}

// spanName is the conventions': the operation and the model.
func spanName(s *gateway.Settled) string {
	if s.Model == "" {
		return operationOf(s.Route.Family)
	}
	return operationOf(s.Route.Family) + " " + s.Model
}

// details are the attributes that only some requests have.
func details(s *gateway.Settled) []attribute.KeyValue {
	attrs := []attribute.KeyValue{recordID.String(s.RecordID.String())}
	if s.Status != 0 {
		attrs = append(attrs, httpStatus.Int(s.Status))
	}
	if s.Stream {
		attrs = append(attrs, genStream.Bool(true))
		if wait := s.FirstByte - s.Sent; s.FirstByte > 0 && wait >= 0 {
			attrs = append(attrs, genFirstChunk.Float64(wait.Seconds()))
		}
	}
	if s.Asked != "" && s.Asked != s.Model {
		attrs = append(attrs, askedModel.String(s.Asked))
	}
	if s.Estimated {
		attrs = append(attrs, estimatedUsage.Bool(true))
	}
	for _, part := range []struct {
		key attribute.Key
		n   int64
	}{
		{genCacheRead, s.Usage[gatehouse.CacheRead]},
		{genCacheWrite, s.Usage[gatehouse.CacheWrite5m] + s.Usage[gatehouse.CacheWrite1h]},
		{genReasoning, s.Usage[gatehouse.Reasoning]},
	} {
		if part.n > 0 {
			attrs = append(attrs, part.key.Int64(part.n))
		}
	}
	return attrs
}

// genAttributes are those that spans and points share: all of them bounded by
// what the operator configured.
func genAttributes(s *gateway.Settled) []attribute.KeyValue {
	attrs := []attribute.KeyValue{genOperation.String(operationOf(s.Route.Family)), genProvider.String(providerOf(s.Upstream.Kind))}
	if s.Model != "" {
		attrs = append(attrs, genModel.String(s.Model))
	}
	u, err := url.Parse(s.Upstream.BaseURL)
	if err != nil {
		return attrs
	}
	attrs = append(attrs, serverAddress.String(u.Hostname()))
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, serverPort.Int(port))
	} else if u.Scheme == "https" {
		attrs = append(attrs, serverPort.Int(443))
	}
	return attrs
}

// operationOf is the conventions' word where they have one, else ours.
func operationOf(f gatehouse.Family) string {
	switch f {
	case gatehouse.FamilyChat, gatehouse.FamilyResponses, gatehouse.FamilyMessages:
		return "chat"
	case gatehouse.FamilySample:
		return "text_completion"
	case gatehouse.FamilyEmbeddings:
		return "embeddings"
	case gatehouse.FamilyImages, gatehouse.FamilyAudio:
		return "generate_content"
	}
	return string(f)
}

func providerOf(k gatehouse.UpstreamKind) string {
	if k == gatehouse.XAI {
		return "x_ai"
	}
	return string(k)
}

// spanIDKey carries the id that a span must have.
type spanIDKey struct{}

// ids gives spans random ids, or the one that was already told to somebody.
type ids struct{}

// NewIDs implements the SDK's IDGenerator.
func (g ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	crand.Read(t[:])
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID implements the SDK's IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) (s trace.SpanID) {
	if told, ok := ctx.Value(spanIDKey{}).(trace.SpanID); ok {
		return told
	}
	crand.Read(s[:])
	return s
}

// seconds is a duration as the conventions count it.
func seconds(d time.Duration) float64 { return d.Seconds() }
