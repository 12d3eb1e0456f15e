package admin

import (
	"context"
	"fmt"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ImportApiKeys implements adminpb.AdminServer.
func (service) ImportApiKeys(ctx context.Context, in *adminpb.ImportApiKeysRequest) (*adminpb.ImportApiKeysResponse, error) {
	var bad gatehouse.Violations
	keys := make([]gatehouse.ForeignKey, len(in.Keys))
	for i, k := range in.Keys {
		var mine gatehouse.Violations
		keys[i] = foreign(given(k), &mine)
		for _, v := range mine {
			bad.Addf(fmt.Sprintf("keys[%d].%s", i, v.Field), "%s", v.Problem)
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	results, err := api.From(ctx).ImportKeys(ctx, keys, in.DryRun)
	if err != nil {
		return nil, err
	}
	out := &adminpb.ImportApiKeysResponse{}
	for _, r := range results {
		out.Results = append(out.Results, &adminpb.ImportedKey{
			Digest: hex(r.Digest), ApiKeyId: r.KeyID.String(), Outcome: string(r.Outcome), Problem: r.Problem, Warnings: r.Warnings,
		})
	}
	return out, nil
}

// foreign reads a key with the members that a creation takes, and disabled.
func foreign(k *adminpb.ForeignKey, bad *gatehouse.Violations) gatehouse.ForeignKey {
	member := given(k.ApiKey)
	out := gatehouse.ForeignKey{Last4: k.Last4, Source: k.Source, Key: newKey(member, bad), Disabled: member.Disabled}
	if out.Digest.UnmarshalText([]byte(k.Digest)) != nil {
		bad.Addf("digest", "must be a SHA-256 digest: 64 hex digits")
	}
	return out
}

func hex(d gatehouse.Digest) string {
	text, _ := d.MarshalText() // of 32 bytes: cannot fail
	return string(text)
}
