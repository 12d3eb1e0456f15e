package v1

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// inference is the one permission that a key has in this dialect: management is
// what management keys are for.
const inference = "inference"

// endpoints are what features with a name of their own stand for; the others
// are called as the endpoint is.
var endpoints = map[string]string{
	"image-generation": gatehouse.EndpointImage, "embeddings": gatehouse.EndpointEmbed,
}

// everything is all models, or all endpoints.
const everything = "*"

// permitted refuses all but ["inference"].
func permitted(in *structpb.ListValue, bad *gatehouse.Violations) {
	if all := texts(in); len(all) != 1 || all[0] != inference {
		bad.Addf("permissions", "must be [%q]: it is all that a key is for", inference)
	}
}

// may reads an acl. A list that is absent allows all, one that is empty allows
// nothing, as an empty ACL does in every dialect.
func may(in *v1pb.Acl, bad *gatehouse.Violations) (acl gatehouse.ACL, l gatehouse.Limits) {
	for _, model := range named(in.GetModels()) {
		acl = append(acl, gatehouse.ModelACL(model))
	}
	for _, feature := range named(in.GetFeatures()) {
		endpoint := feature
		if e := endpoints[feature]; e != "" {
			endpoint = e
		}
		if endpoint != everything && !slices.Contains(gatehouse.Endpoints, endpoint) {
			bad.Addf("acl.features", "knows no such feature; there are %s", strings.Join(known(), ", "))
			continue
		}
		acl = append(acl, gatehouse.EndpointACL(endpoint))
	}
	if rate := in.GetRateLimit(); rate != nil {
		l = gatehouse.Limits{QPM: api.Limit(rate.Rpm), TPM: tokens(rate.Tpm)}
	}
	return acl, l
}

// known lists the features, each under its first name.
func known() (out []string) {
	for _, endpoint := range gatehouse.Endpoints {
		out = append(out, feature(endpoint))
	}
	return out
}

func feature(endpoint string) string {
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		if endpoints[name] == endpoint {
			return name
		}
	}
	return endpoint
}

// granted is what a key may do, spelled so that an update takes it back.
func granted(k *gatehouse.Key) *v1pb.Acl {
	var features []string
	for _, endpoint := range k.ACL.Endpoints() {
		features = append(features, feature(endpoint))
	}
	rate := &v1pb.RateLimit{Rpm: api.LimitOut(k.Limits.QPM)}
	if k.Limits.TPM != 0 {
		n := float64(k.Limits.TPM)
		rate.Tpm = &n
	}
	return &v1pb.Acl{Models: listOf(k.ACL.Models()...), Features: listOf(features...), RateLimit: rate}
}

// maxWhole is up to where every whole number is a JSON number of its own.
const maxWhole = 1 << 53

// tokens reads a limit of tokens. What is no whole number from 1 on becomes -1,
// which is refused together with everything else; absent is no limit.
func tokens(n *float64) int64 {
	switch {
	case n == nil:
		return 0
	case *n < 1 || *n > maxWhole || *n != float64(int64(*n)):
		return -1
	}
	return int64(*n)
}

func named(in *structpb.ListValue) []string {
	if in == nil {
		return []string{everything}
	}
	return texts(in)
}

// texts reads a list that the kit has found to hold strings alone.
func texts(in *structpb.ListValue) (out []string) {
	for _, v := range in.GetValues() {
		out = append(out, v.GetStringValue())
	}
	return out
}

func listOf(in ...string) *structpb.ListValue {
	out := &structpb.ListValue{}
	for _, s := range in {
		out.Values = append(out.Values, structpb.NewStringValue(s))
	}
	return out
}
