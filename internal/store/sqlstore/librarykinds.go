package sqlstore

import (
	"gatehouse"
)

var fileTable = authority[gatehouse.File]{
	table: "files", kind: gatehouse.KindFile, dropped: true, quiet: true,
	facts: func(f *gatehouse.File) facts {
		return facts{id: f.ID.String(), team: f.TeamID.String(), user: f.UserID.String(), name: f.Name, created: f.CreateTime, expire: f.ExpireTime}
	},
	revision: func(f *gatehouse.File) *gatehouse.Revision { return &f.Revision },
	bare: func(f *gatehouse.File) (gatehouse.File, []byte) {
		c := *f
		c.LinkURL = ""
		if f.LinkURL == "" {
			return c, nil
		}
		return c, []byte(f.LinkURL)
	},
	place: func(f *gatehouse.File) string { return "files/" + f.ID.String() + "/" + f.TeamID.String() + "/link" },
	dress: func(f *gatehouse.File, b []byte) error { f.LinkURL = string(b); return nil },
	file:  fileFile,
}

var collectionTable = authority[gatehouse.Collection]{
	table: "collections", kind: gatehouse.KindCollection, dropped: true, quiet: true,
	facts: func(c *gatehouse.Collection) facts {
		return facts{id: c.ID.String(), team: c.TeamID.String(), name: c.Name, created: c.CreateTime}
	},
	revision: func(c *gatehouse.Collection) *gatehouse.Revision { return &c.Revision },
	bare:     plain[gatehouse.Collection],
	file:     fileCollection,
}

// A file may come back into a collection, so a document's id is a name.
var documentTable = authority[gatehouse.Document]{
	table: "documents", kind: gatehouse.KindDocument, named: true, dropped: true, quiet: true,
	facts: func(d *gatehouse.Document) facts {
		return facts{id: documentID(d.CollectionID, d.FileID), team: d.TeamID.String(), created: d.CreateTime}
	},
	revision: func(d *gatehouse.Document) *gatehouse.Revision { return &d.Revision },
	bare:     plain[gatehouse.Document],
	file:     fileDocument,
}

// documentID is what the log names a document by; empty when either part is.
func documentID(collection, file gatehouse.ID) string {
	if collection.IsZero() || file.IsZero() {
		return ""
	}
	return collection.String() + "/" + file.String()
}
