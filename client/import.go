package client

import (
	"context"
	"encoding/hex"
	"net/http"

	"gatehouse"
	"gatehouse/gen/admin"
)

// ImportKeys implements gatehouse.Importer.
func (c *Client) ImportKeys(ctx context.Context, keys []gatehouse.ForeignKey, dryRun bool) ([]gatehouse.ImportedKey, error) {
	out, err := call[admin.ImportApiKeysResponse](ctx, c, request{method: http.MethodPost, path: adminKeys + "/import",
		body: &admin.ImportApiKeysRequest{DryRun: dryRun, Keys: each(keys, foreignTo)}})
	return each(out.GetResults(), importedFrom), err
}

func foreignTo(k gatehouse.ForeignKey) *admin.ForeignKey {
	body := newKeyTo(k.Key)
	body.Disabled = k.Disabled
	return &admin.ForeignKey{Digest: hex.EncodeToString(k.Digest[:]), Last4: k.Last4, Source: k.Source, ApiKey: body}
}

func importedFrom(k *admin.ImportedKey) gatehouse.ImportedKey {
	out := gatehouse.ImportedKey{
		KeyID: id(k.ApiKeyId), Outcome: gatehouse.ImportOutcome(k.Outcome), Problem: k.Problem, Warnings: k.Warnings,
	}
	if out.Digest.UnmarshalText([]byte(k.Digest)) != nil {
		out.Digest = gatehouse.Digest{} // of a server that does not say; results are in the order of the request
	}
	return out
}
