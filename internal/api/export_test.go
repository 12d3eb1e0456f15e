package api

import (
	"maps"
	"net/url"
	"slices"
)

// Described finds the operation that answers a request, by the path that the
// document writes for it; empty when there is none.
func (s *Server) Described(method string, u *url.URL) (path string) {
	rt, _, _ := s.routes.find(method, u)
	if rt == nil {
		return ""
	}
	return (&describer{face: faceOf(s, rt)}).path(rt)
}

func faceOf(s *Server, rt *route) Face {
	for _, f := range s.faces {
		for _, r := range routesOf(f) {
			if r.method == rt.method && r.spelling == rt.spelling {
				return f
			}
		}
	}
	panic("a route of no face")
}

// Calls lists the paths of the methods that answer gRPC.
func (s *Server) Calls() []string { return slices.Sorted(maps.Keys(s.calls.methods)) }
