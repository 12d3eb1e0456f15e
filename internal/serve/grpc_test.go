package serve

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse/internal/gateway/rpc"
)

// xAI's SDK speaks plain HTTP/2 to localhost and TLS to everybody else.
func TestCallsAreAnsweredOnTheListenerWithAndWithoutTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	for name, c := range map[string]struct {
		cfg  Config
		with credentials.TransportCredentials
	}{
		"plain": {Config{}, insecure.NewCredentials()},
		"TLS":   {Config{TLSCert: cert, TLSKey: key}, credentials.NewClientTLSFromCert(roots, "example.com")},
	} {
		l, err := c.cfg.listen("gateway", "127.0.0.1:0", rpc.New(http.NotFoundHandler(), slog.New(slog.DiscardHandler)), true)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- l.run() }()
		conn, err := grpc.NewClient(l.socket.Addr().String(), grpc.WithTransportCredentials(c.with))
		if err != nil {
			t.Fatal(err)
		}
		err = conn.Invoke(context.Background(), "/xai_api.Sample/SampleText", &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "is not offered by this gateway") {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		if err := l.server.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	}
}

// certificate writes one for example.com, and says who vouches for it.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	private, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return write("cert.pem", "CERTIFICATE", srv.Certificate().Raw), write("key.pem", "PRIVATE KEY", private), roots
}
