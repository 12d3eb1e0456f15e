package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/simulate"
	"gatehouse/verify/hostile"
)

// TestHostileDocumentsEndInAStatus uploads the corpus into a collection: each
// document is refused at the door, or fails with a message, or is processed; what
// failed is not found by a search; and a document that means no harm is processed
// among them.
func TestHostileDocumentsEndInAStatus(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	status, answer := h.manage("POST", "/v1/collections", `{"collection_name":"hostile"}`)
	var made struct {
		ID string `json:"collection_id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	wanted := map[string]hostile.Document{}
	alike := 0
	for _, d := range append(hostile.Corpus(), honest) {
		if strings.Contains(d.What, " as a") || strings.Contains(d.What, " cut at ") {
			if alike++; alike%4 != 0 {
				continue
			}
		}
		if strings.Contains(d.What, "MiB") || strings.Contains(d.What, "million") || strings.Contains(d.What, ",000") || strings.Contains(d.What, "slides") {
			continue // minutes of indexing, and no different here
		}
		id, refused := h.upload(made.ID, d)
		if !refused {
			wanted[id] = d
		} else if slices.Contains(d.Want, "text") {
			t.Errorf("%s: refused", d.What)
		}
	}
	processed := h.judged(made.ID, wanted)
	good := 0
	for _, is := range processed {
		if is {
			good++
		}
	}
	t.Logf("of %d documents %d were processed", len(wanted), good)
	req, err := http.NewRequest("POST", h.gateway+"/v1/documents/search",
		strings.NewReader(fmt.Sprintf(`{"query":"words honest","source":{"collection_ids":[%q]},"limit":100,"retrieval_mode":{"type":"keyword"}}`, made.ID)))
	h.must(err)
	req.Header.Set("Authorization", "Bearer "+h.createKey("").Secret)
	req.Header.Set("Content-Type", "application/json")
	status, answer = h.do(req)
	var found struct {
		Matches []struct {
			File    string `json:"file_id"`
			Content string `json:"chunk_content"`
		}
	}
	if err := json.Unmarshal(answer, &found); err != nil || status != http.StatusOK || len(found.Matches) == 0 {
		t.Fatalf("search: %d %s", status, answer)
	}
	for _, m := range found.Matches {
		if !processed[m.File] {
			t.Errorf("%s is found and was not processed", wanted[m.File].What)
		}
		if strings.Contains(m.Content, "root:") {
			t.Errorf("a file of the host: %q", m.Content)
		}
	}
	if !strings.Contains(string(answer), "honest") {
		t.Errorf("what means no harm is not found: %s", answer)
	}
}

var honest = hostile.Document{What: "an honest letter", Name: "letter.txt", Type: "text/plain", Body: func() []byte { return []byte("honest words") }, Want: []string{"text"}}

// upload puts a document into a collection.
func (h *house) upload(collection string, d hostile.Document) (id string, refused bool) {
	h.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_ = w.WriteField("name", d.Name)
	head := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="data"; filename=%q`, d.Name)}}
	if d.Type != "" {
		head.Set("Content-Type", d.Type)
	}
	part, err := w.CreatePart(head)
	h.must(err)
	_, err = part.Write(d.Body())
	h.must(err)
	h.must(w.Close())
	req, err := http.NewRequest("POST", h.management+"/v1/collections/"+collection+"/documents", &form)
	h.must(err)
	req.Header.Set("Authorization", "Bearer "+h.key)
	req.Header.Set("Content-Type", w.FormDataContentType())
	status, answer := h.do(req)
	if status >= 400 && status < 500 {
		return "", true
	}
	var made struct {
		File struct {
			ID string `json:"file_id"`
		} `json:"file_metadata"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || status != http.StatusOK {
		h.t.Fatalf("%s: %d %s", d.What, status, answer)
	}
	return made.File.ID, false
}

// judged waits until every document has a status that stays, and says which were
// processed.
func (h *house) judged(collection string, wanted map[string]hostile.Document) map[string]bool {
	h.t.Helper()
	processed := map[string]bool{}
	deadline := time.Now().Add(5 * time.Minute)
	for id, d := range wanted {
		for {
			status, answer := h.manage("GET", "/v1/collections/"+collection+"/documents/"+id, "")
			var doc struct {
				Status  string
				Problem string `json:"error_message"`
			}
			if err := json.Unmarshal(answer, &doc); err != nil || status != http.StatusOK {
				h.t.Fatalf("%s: %d %s", d.What, status, answer)
			}
			if doc.Status == "DOCUMENT_STATUS_PROCESSED" || doc.Status == "DOCUMENT_STATUS_FAILED" {
				processed[id] = doc.Status == "DOCUMENT_STATUS_PROCESSED"
				if processed[id] && !slices.Contains(d.Want, "text") || !processed[id] && (doc.Problem == "" || strings.Contains(d.What, " as a")) {
					h.t.Errorf("%s: %s", d.What, answer)
				}
				break
			}
			if time.Now().After(deadline) {
				h.t.Fatalf("%s: still %s", d.What, answer)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return processed
}
