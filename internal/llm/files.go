package llm

import (
	"net/http"
	"strings"

	"gatehouse"
)

// asks makes the route of what is asked of the library.
func asks(endpoint, path, allow string) Route {
	return Route{Op: Library, Endpoint: endpoint, Path: path, Local: true, Allow: allow}
}

// library finds the routes of the library without an id.
func library(rest string) (r Route, ok bool) {
	switch rest {
	case "files":
		return asks(gatehouse.EndpointFiles, "/v1/files", "GET, POST"), true
	case "documents/search":
		r = asks(gatehouse.EndpointDocuments, "/v1/documents/search", http.MethodPost)
		r.JSON, r.Metered = true, true
		return r, true
	}
	return Route{}, false
}

// file finds the routes of one file. The token of a public link never gets into
// a Route: routes are logged.
func file(rest string) (Route, bool) {
	id, verb, nested := strings.Cut(rest, "/")
	if id == "public" && nested {
		r := asks("", "/v1/files/public/{token}", http.MethodGet)
		r.Public = true
		return r, validObjectID(verb)
	}
	if !validObjectID(id) {
		return Route{}, false
	}
	const one = "/v1/files/{id}"
	switch {
	case !nested:
		return asks(gatehouse.EndpointFiles, one, "GET, PUT, DELETE"), true
	case verb == "content":
		r := asks(gatehouse.EndpointFiles, one+"/content", http.MethodGet)
		r.Metered = true
		return r, true
	case verb == "public-url", verb == "public-url/revoke":
		r := asks(gatehouse.EndpointFiles, one+"/"+verb, http.MethodPost)
		r.JSON = true
		return r, true
	}
	return Route{}, false
}

// of is the route of one of the path's methods. An upload is a form and leaves a
// usage record; the only other body is a new name.
func (r Route) of(method string) (Route, Match) {
	found := false
	for m := range strings.SplitSeq(r.Allow, ", ") {
		found = found || m == method
	}
	if !found {
		return r, WrongMethod
	}
	switch {
	case method == http.MethodPut:
		r.JSON = true
	case method == http.MethodPost && r.Path == "/v1/files":
		r.Multipart, r.Metered = true, true
	}
	return r, Found
}
