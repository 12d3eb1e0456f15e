package verify

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Requests that every case below is a variation of.
const (
	create = "POST /auth/teams/$team/api-keys\n\n"
	put    = "PUT /auth/api-keys/$key\n\n"
	patch  = "PATCH /auth/api-keys/$key\n\n"
	list   = "GET /auth/teams/$team/api-keys"
	ask    = "POST /v1/chat/completions\n\n"
	hi     = `"messages":[{"role":"user","content":"hi"}]`
)

// badManagement is the management plane's part of the contract.
var badManagement = []bad{
	{name: "no credential", status: 401, request: list + "\nAuthorization:"},
	{name: "an inference key", status: 401, request: list + "\nAuthorization: Bearer $secret"},
	{name: "a key that was never made", status: 401, request: list + "\nAuthorization: Bearer $stranger"},
	{name: "a malformed key", status: 401, request: list + "\nAuthorization: Bearer gthm_$(65*a)"},
	{name: "two credentials", status: 401, request: list + "\nAuthorization: Bearer $manager\nAuthorization: Bearer $teammanager"},
	{name: "another scheme", status: 401, request: list + "\nAuthorization: Basic $manager"},
	{name: "scope missing, whatever the id and the body", status: 403, request: "PUT /auth/api-keys/nonsense\nAuthorization: Bearer $reader\n\n{"},
	{name: "organization scope missing", status: 403, request: "GET /admin/v1/upstreams\nAuthorization: Bearer $teammanager"},
	{name: "unknown field", status: 400, request: create + `{"name":"a","acls":[],"colour":"red"}`},
	{name: "unknown field within", status: 400, request: put + `{"apiKey":{"nmae":"a"},"fieldMask":"name"}`},
	{name: "unknown query parameter", status: 400, request: list + "?pageSise=3"},
	{name: "query parameter twice", status: 400, request: list + "?pageSize=3&pageSize=4"},
	{name: "wrong types", status: 400, request: create + `{"name":7,"acls":"api-key:model:*","qps":"many","expireTime":"soon"}`},
	{name: "not an object", status: 400, request: create + `["name"]`},
	{name: "empty where a field is required", status: 400, request: create},
	{name: "duplicate member", status: 400, request: create + `{"name":"a","name":"b","acls":[]}`},
	{name: "duplicate member under an escape", status: 400, request: create + `{"name":"a","n\u0061me":"b","acls":[]}`},
	{name: "duplicate member under another spelling", status: 400, request: create + `{"name":"a","acls":[],"aclStrings":["api-key:model:*"]}`},
	{name: "trailing bytes", status: 400, request: create + `{"name":"a","acls":[]}{}`},
	{name: "trailing comma", status: 400, request: create + `{"name":"a","acls":[],}`},
	{name: "not JSON", status: 400, request: create + `name=a&acls=b`},
	{name: "invalid UTF-8", status: 400, request: create + "{\"name\":\"a\xff\",\"acls\":[]}"},
	{name: "a NUL", status: 400, request: create + "{\"name\":\"a\x00\",\"acls\":[]}"},
	{name: "half a surrogate pair", status: 400, request: create + `{"name":"\ud800","acls":[]}`},
	{name: "65 deep", status: 400, request: create + `{"name":$(64*[)$(64*])}`},
	{name: "64 deep is read, and is no name", status: 400, request: create + `{"name":$(63*[)$(63*])}`},
	{name: "body over the cap", status: 413, request: create + `{"name":"$(1048577*a)"}`},
	{name: "body of another type", status: 415, request: "POST /auth/teams/$team/api-keys\nContent-Type: text/plain\n\n" + `{"name":"a","acls":[]}`},
	{name: "compressed body", status: 415, request: "POST /auth/teams/$team/api-keys\nContent-Type: application/json\nContent-Encoding: gzip\n\n" + `{"name":"a","acls":[]}`},
	{name: "truncated upload", status: 400, raw: true, request: "POST /auth/teams/$team/api-keys\nContent-Length: 100\n\n" + `{"name":"a",`},
	{name: "truncated chunked upload", status: 400, raw: true, request: "POST /auth/teams/$team/api-keys\nTransfer-Encoding: chunked\n\n20\r\n" + `{"name":"a",`},
	{name: "unknown method", status: 405, request: "POST /auth/api-keys/$key\n\n{}"},
	{name: "unknown route", status: 404, request: "GET /auth/teams/$team/keys"},

	{name: "unknown ACL kind", status: 400, request: create + `{"name":"a","acls":["api-key:modell:grok-4"]}`},
	{name: "unknown endpoint", status: 400, request: create + `{"name":"a","acls":["api-key:endpoint:chats"]}`},
	{name: "pattern in an ACL", status: 400, request: create + `{"name":"a","acls":["api-key:model:grok-4*"]}`},
	{name: "limits of zero", status: 400, request: create + `{"name":"a","acls":[],"qps":0,"qpm":0,"tpm":"0"}`},
	{name: "limits below zero", status: 400, request: create + `{"name":"a","acls":[],"qps":-1,"qpm":-1,"tpm":"-1"}`},
	{name: "limits beyond their type", status: 400, request: create + `{"name":"a","acls":[],"qps":2147483648,"qpm":9223372036854775808,"tpm":"9223372036854775808"}`},
	{name: "tpm too large", status: 400, request: create + `{"name":"a","acls":[],"tpm":"1000000000000001"}`},
	{name: "limits that are not whole", status: 400, request: create + `{"name":"a","acls":[],"qps":1.5,"tpm":"1e3"}`},
	{name: "limits of another spelling", status: 400, request: create + `{"name":"a","acls":[],"qps":"+5","qpm":"05"}`},
	{name: "limit of zero in an update", status: 400, request: patch + `{"apiKey":{"qpm":0}}`},
	{name: "expiry in the past", status: 400, request: create + `{"name":"a","acls":[],"expireTime":"2020-01-01T00:00:00Z"}`},
	{name: "expiry in the past by update", status: 400, request: patch + `{"apiKey":{"expireTime":"2020-01-01T00:00:00Z"}}`},
	{name: "expiry in the past by rotation", status: 400, request: "POST /auth/api-keys/$key/rotate\n\n" + `{"expireTime":"2020-01-01T00:00:00Z"}`},
	{name: "overlap too long", status: 400, request: "POST /auth/api-keys/$key/rotate\n\n" + `{"oldSecretExpireTime":"2999-01-01T00:00:00Z"}`},
	{name: "name too long", status: 400, request: create + `{"name":"$(129*é)","acls":[]}`},
	{name: "name with a control character", status: 400, request: create + `{"name":"a\u0007b","acls":[]}`},
	{name: "name with a C1 control character", status: 400, request: create + `{"name":"a\u0085b","acls":[]}`},
	{name: "no name", status: 400, request: create + `{"name":" ","acls":[]}`},

	{name: "PUT without a fieldMask", status: 400, request: put + `{"apiKey":{"name":"b"}}`},
	{name: "fieldMask of something unknown", status: 400, request: put + `{"apiKey":{"name":"b"},"fieldMask":"name,colour"}`},
	{name: "fieldMask of an output", status: 400, request: put + `{"apiKey":{"name":"b"},"fieldMask":"createTime"}`},
	{name: "fieldMask that is a list", status: 400, request: put + `{"apiKey":{"name":"b"},"fieldMask":["name"]}`},
	{name: "fieldMask of nothing", status: 400, request: put + `{"apiKey":{"name":"b"},"fieldMask":","}`},
	{name: "PATCH of nothing", status: 400, request: patch + `{"apiKey":{}}`},
	{name: "apiKey as a string", status: 400, request: put + `{"apiKey":"<The apiKey Object with updated qpm>","fieldMask":"qpm"}`},
	{name: "clearing what is required", status: 400, request: put + `{"apiKey":{"name":null},"fieldMask":"name"}`},
	{name: "If-Match of another revision", status: 412, request: "PATCH /auth/api-keys/$key\nIf-Match: \"1.1\"\n\n" + `{"apiKey":{"name":"b"}}`},
	{name: "If-Match of garbage", status: 400, request: "PATCH /auth/api-keys/$key\nIf-Match: yesterday\n\n" + `{"apiKey":{"name":"b"}}`},

	{name: "tampered page token", status: 400, request: list + "?paginationToken=$forged"},
	{name: "page token of garbage", status: 400, request: list + "?paginationToken=2"},
	{name: "page token of another team", status: 400, request: "GET /auth/teams/$other/api-keys?paginationToken=$page"},
	{name: "page token of another filter", status: 400, request: list + "?activeOnly=true&paginationToken=$page"},
	{name: "page token of another list", status: 400, request: "GET /audit/teams/$team/events?pageToken=$page"},
	{name: "negative page", status: 400, request: list + "?pageSize=-1"},

	{name: "another team in the path", status: 404, foreign: "other", request: "GET /auth/teams/$other/api-keys\nAuthorization: Bearer $teammanager"},
	{name: "another team's key in the path", status: 404, foreign: "theirs", request: "GET /auth/api-keys/$theirs\nAuthorization: Bearer $teammanager"},
	{name: "deleting another team's key", status: 404, foreign: "theirs", request: "DELETE /auth/api-keys/$theirs\nAuthorization: Bearer $teammanager"},
	{name: "rotating another team's key", status: 404, foreign: "theirs", request: "POST /auth/api-keys/$theirs/rotate\nAuthorization: Bearer $teammanager\n\n{}"},
	{name: "another team's key under the own path", status: 404, foreign: "theirs", request: "DELETE /auth/teams/$team/api-keys/$theirs\nAuthorization: Bearer $manager"},
	{name: "another team's key in the body", status: 404, foreign: "theirs", request: "PUT /auth/teams/$team/api-keys\nAuthorization: Bearer $teammanager\n\n" + `{"apiKey":{"apiKeyId":"$theirs","name":"b"},"fieldMask":"name"}`},
	{name: "propagation of another team's key", status: 404, foreign: "theirs", request: "GET /auth/api-keys/$theirs/propagation?wait=1\nAuthorization: Bearer $teammanager"},
	{name: "making a key for another team", status: 404, foreign: "other", request: "POST /auth/teams/$other/api-keys\nAuthorization: Bearer $teammanager\n\n" + `{"name":"a","acls":[]}`},
	{name: "a body that contradicts the path", status: 400, request: create + `{"teamId":"$other","name":"a","acls":[]}`},
	{name: "another team in the query", status: 404, foreign: "other", request: "GET /admin/v1/api-keys?teamId=$other\nAuthorization: Bearer $teammanager"},
	{name: "another team's management keys", status: 404, foreign: "other", request: "GET /admin/v1/management-keys?teamId=$other\nAuthorization: Bearer $teammanager"},
	{name: "a management key for another team", status: 404, foreign: "other", request: "POST /admin/v1/management-keys\nAuthorization: Bearer $teammanager\n\n" + `{"name":"a","teamId":"$other","acls":[]}`},
	{name: "more than its maker has", status: 403, request: "POST /admin/v1/management-keys\nAuthorization: Bearer $teammanager\n\n" + `{"name":"a","scope":"SCOPE_ORGANIZATION","acls":["team-token:endpoint:*"]}`},
	{name: "another team's audit log", status: 404, foreign: "other", request: "GET /audit/teams/$other/events\nAuthorization: Bearer $teammanager"},
	{name: "another team's usage", status: 404, foreign: "other", request: "POST /v1/billing/teams/$other/usage\nAuthorization: Bearer $teammanager\n\n" + usageOf},
	{name: "another team's models", status: 404, foreign: "other", request: "GET /auth/teams/$other/models\nAuthorization: Bearer $teammanager"},
	{name: "another team's key by the own interface", status: 404, foreign: "theirs", request: "PATCH /admin/v1/api-keys/$theirs\nAuthorization: Bearer $teammanager\n\n" + `{"strict":true}`},
	{name: "another team by its id", status: 404, foreign: "other", request: "GET /admin/v1/teams/$other\nAuthorization: Bearer $teammanager"},
	{name: "another team's users", status: 404, foreign: "other", request: "GET /admin/v1/users?teamId=$other\nAuthorization: Bearer $teammanager"},
	{name: "an upstream on a private address", status: 400, request: "POST /admin/v1/upstreams\n\n" + `{"name":"a","kind":"openai","baseUrl":"http://127.0.0.1:1/v1","serves":[{"model":"*"}]}`},
	{name: "an upstream with a password in its URL", status: 400, request: "POST /admin/v1/upstreams\n\n" + `{"name":"a","kind":"openai","baseUrl":"https://u:p@example.com/v1","serves":[{"model":"*"}]}`},
	{name: "an upstream moved elsewhere without its credential", status: 400, request: "PATCH /admin/v1/upstreams/$upstream\n\n" + `{"baseUrl":"https://example.com/v1"}`},
}

const usageOf = `{"analyticsRequest":{"timeRange":{"startTime":"2026-01-01 00:00:00","endTime":"2026-01-02 00:00:00","timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","values":[{"name":"usd","aggregation":"AGGREGATION_SUM"}]}}`

// badGateway is the gateway's part.
var badGateway = []bad{
	{name: "no credential", status: 401, request: "POST /v1/chat/completions\nAuthorization:\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "a management key", status: 400, request: "POST /v1/chat/completions\nAuthorization: Bearer $manager\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "a management key on messages", status: 401, request: "POST /v1/messages\nAuthorization: Bearer $manager\n\n" + `{"model":"claude-sonnet-4-5","max_tokens":9,` + hi + `}`},
	{name: "a malformed key", status: 400, request: "GET /v1/models\nAuthorization: Bearer $secret!"},
	{name: "a key that was never made", status: 400, request: "GET /v1/models\nAuthorization: Bearer $unknown"},
	{name: "two credentials", status: 400, request: "GET /v1/models\nX-Api-Key: $theirsecret"},
	{name: "endpoint not in the ACL", status: 403, request: "POST /v1/chat/completions\nAuthorization: Bearer $nothing\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "unknown model", status: 404, request: ask + `{"model":"gpt-99",` + hi + `}`},
	{name: "unknown route", status: 404, request: "POST /v1/chat/completion\n\n{}"},
	{name: "wrong method", status: 405, request: "GET /v1/chat/completions"},
	{name: "model without a price", status: 400, request: ask + `{"model":"unpriced",` + hi + `}`},
	{name: "family that the upstream does not speak", status: 400, request: "POST /v1/embeddings\n\n" + `{"model":"odd","input":"a"}`},
	{name: "no model", status: 400, request: ask + `{` + hi + `}`},
	{name: "model of the wrong type", status: 400, request: ask + `{"model":["gpt-4o"],` + hi + `}`},
	{name: "duplicate model", status: 400, request: ask + `{"model":"gpt-4o","model":"grok-4",` + hi + `}`},
	{name: "MODEL beside model", status: 400, request: ask + `{"model":"gpt-4o","MODEL":"grok-4",` + hi + `}`},
	{name: "model twice under an escape", status: 400, request: ask + `{"model":"gpt-4o","mod\u0065l":"grok-4",` + hi + `}`},
	{name: "maxTokens beside max_tokens", status: 400, request: ask + `{"model":"gpt-4o","max_tokens":1,"maxTokens":9,` + hi + `}`},
	{name: "trailing bytes", status: 400, request: ask + `{"model":"gpt-4o",` + hi + `}{"model":"grok-4"}`},
	{name: "not JSON", status: 400, request: ask + `model=gpt-4o`},
	{name: "not an object", status: 400, request: ask + `[]`},
	{name: "empty body", status: 400, request: ask},
	{name: "invalid UTF-8", status: 400, request: ask + "{\"model\":\"gpt-4o\xff\"," + hi + "}"},
	{name: "65 deep", status: 400, request: ask + `{"model":"gpt-4o","messages":$(64*[)$(64*])}`},
	{name: "accepted: 64 deep", status: 200, request: ask + `{"model":"gpt-4o","max_tokens":1,"messages":$(63*[)$(63*])}`},
	{name: "body over the cap", status: 413, request: ask + `{"model":"gpt-4o","messages":"$(262144*a)"}`},
	{name: "chunked body over the cap", status: 413, raw: true, request: "POST /v1/chat/completions\nTransfer-Encoding: chunked\n\n50000\r\n" + `{"model":"gpt-4o","messages":"$(327680*a)`},
	{name: "no content type", status: 415, request: "POST /v1/chat/completions\nContent-Type:\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "body of another type", status: 415, request: "POST /v1/chat/completions\nContent-Type: text/plain\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "body of another charset", status: 415, request: "POST /v1/chat/completions\nContent-Type: application/json; charset=utf-7\n\n" + `{"model":"gpt-4o","mod+AGU-l":"grok-4",` + hi + `}`},
	{name: "form where there is none", status: 415, request: "POST /v1/messages\nContent-Type: multipart/form-data; boundary=x\n\n--x--"},
	{name: "compressed body", status: 415, request: "POST /v1/chat/completions\nContent-Encoding: gzip\nContent-Type: application/json\n\n" + `{"model":"gpt-4o",` + hi + `}`},
	{name: "truncated upload", status: 400, raw: true, request: "POST /v1/chat/completions\nContent-Length: 100\n\n" + `{"model":"gpt-4o",`},
	{name: "truncated chunked upload", status: 400, raw: true, request: "POST /v1/messages\nTransfer-Encoding: chunked\n\n20\r\n" + `{"model":"gpt-4o",`},
	{name: "another team's conversation in the body", status: 404, request: "POST /v1/responses\n\n" + `{"model":"gpt-4o","input":"go on","conversation":"conv_theirs"}`},
	{name: "another team's response in the path", status: 404, foreign: "response", request: "GET /v1/responses/$response"},
	{name: "another team's response in the body", status: 404, foreign: "response", request: "POST /v1/responses\n\n" + `{"model":"gpt-4o","input":"go on","previous_response_id":"$response"}`},
	{name: "deleting another team's response", status: 404, foreign: "response", request: "DELETE /v1/responses/$response"},
	{name: "what cannot be metered", status: 400, request: ask + `{"model":"gpt-4o","deferred":true,` + hi + `}`},
	{name: "accepted: the one request of a minute", status: 200, request: "POST /v1/chat/completions\nAuthorization: Bearer $once\n\n" + `{"model":"gpt-4o","max_tokens":1,` + hi + `}`},
	{name: "the second request of a minute", status: 429, request: "POST /v1/chat/completions\nAuthorization: Bearer $once\n\n" + `{"model":"gpt-4o",` + hi + `}`},
}

// badUpstream is what providers do. The simulated one obeys its prompt; the odd
// one sends canned bytes.
var badUpstream = []bad{
	{name: "answers garbage", status: 502, request: ask + sim("gpt-4o", "garbage")},
	{name: "answers garbage on messages", status: 502, request: "POST /v1/messages\n\n" + sim("claude-sonnet-4-5", "garbage")},
	{name: "lies about its length", status: 502, request: ask + sim("gpt-4o", "lie")},
	{name: "sends half a frame", status: 200, request: ask + stream("gpt-4o", "words=4 cut=2")},
	{name: "sends half a frame on messages", status: 200, request: "POST /v1/messages\n\n" + stream("claude-sonnet-4-5", "words=4 cut=1")},
	{name: "refuses our credential", status: 502, request: ask + sim("gpt-4o", "status=401")},
	{name: "forbids", status: 502, request: ask + sim("gpt-4o", "status=403")},
	{name: "is exhausted", status: 429, request: ask + sim("gpt-4o", "status=429 retry-after=7")},
	{name: "fails", status: 502, request: ask + sim("gpt-4o", "status=500")},
	{name: "finds a fault", status: 422, request: ask + sim("gpt-4o", "status=422")},
	{name: "hangs", status: 504, request: ask + sim("odd", "odd-hang")},
	{name: "hangs in the body", status: 504, request: ask + sim("odd", "odd-stall")},
	{name: "hangs in a stream", status: 200, request: ask + stream("odd", "odd-silence")},
	{name: "does not speak HTTP", status: 502, request: ask + sim("odd", "odd-ssh")},
	{name: "frames its answer twice", status: 502, request: ask + sim("odd", "odd-twice")},
	{name: "compresses", status: 502, request: ask + sim("odd", "odd-gzip")},
	{name: "redirects", status: 502, request: ask + sim("odd", "odd-redirect")},
	{name: "answers a page", status: 502, request: ask + sim("odd", "odd-page")},
	{name: "closes at once", status: 502, request: ask + sim("odd", "odd-close")},
	{name: "ends a stream without its end", status: 200, request: ask + stream("odd", "odd-end")},
}

func sim(model, knobs string) string {
	return `{"model":"` + model + `","max_tokens":9,"messages":[{"role":"user","content":"[[sim: ` + knobs + `]]"}]}`
}

func stream(model, knobs string) string { return `{"stream":true,` + sim(model, knobs)[1:] }

const (
	okHead     = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	sseHead    = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	chatFrame  = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"odd","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}` + "\n\n"
	chatAnswer = `{"id":"c","object":"chat.completion","created":1,"model":"odd","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
)

// canned is what the odd provider sends; it then waits when the word ends a
// request that is to hang, else closes.
var canned = map[string]string{
	"odd-hang":     "",
	"odd-stall":    okHead + "Content-Length: 500\r\n\r\n{\"id\":",
	"odd-silence":  sseHead + "\r\n" + chatFrame,
	"odd-ssh":      "SSH-2.0-OpenSSH_9.2\r\n",
	"odd-twice":    okHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
	"odd-gzip":     okHead + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
	"odd-redirect": "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
	"odd-page":     "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
	"odd-close":    "",
	"odd-end":      sseHead + "\r\n" + chatFrame,
}

// oddProvider listens for requests and sends canned bytes for the word in the
// prompt, a good answer when there is none.
func oddProvider(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go beOdd(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

func beOdd(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	for word, bytes := range canned {
		if !strings.Contains(string(body), word) {
			continue
		}
		io.WriteString(conn, bytes)
		if word == "odd-hang" || word == "odd-stall" || word == "odd-silence" {
			in.ReadByte() // until the gateway has had enough
		}
		return
	}
	io.WriteString(conn, okHead+"Connection: close\r\n\r\n"+chatAnswer)
}
