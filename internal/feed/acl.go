package feed

import (
	"slices"

	"gatehouse"
)

// aclSet is an ACL compiled for look-ups. Keys with the same ACL share one.
type aclSet struct {
	list         gatehouse.ACL
	models       map[string]struct{}
	allModels    bool
	allEndpoints bool
	endpoints    uint32 // bit i: gatehouse.Endpoints[i]
}

func compileACL(a gatehouse.ACL) *aclSet {
	s := &aclSet{list: a, allModels: a.AllowsModel("*"), allEndpoints: a.AllowsEndpoint("*")}
	for _, m := range a.Models() {
		if m == "*" {
			continue
		}
		if s.models == nil {
			s.models = make(map[string]struct{})
		}
		s.models[m] = struct{}{}
	}
	for i, e := range gatehouse.Endpoints {
		if a.AllowsEndpoint(e) {
			s.endpoints |= 1 << i
		}
	}
	return s
}

func (s *aclSet) allowsModel(model string) bool {
	if s.allModels {
		return true
	}
	_, ok := s.models[model]
	return ok
}

func (s *aclSet) allowsEndpoint(endpoint string) bool {
	if s.allEndpoints {
		return true
	}
	i := slices.Index(gatehouse.Endpoints, endpoint)
	return i >= 0 && s.endpoints&(1<<i) != 0
}
