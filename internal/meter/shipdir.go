package meter

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gatehouse"
)

// ShipDirOptions shape ShipDir. Zero fields take the defaults.
type ShipDirOptions struct {
	BatchRows int  // records per batch, default DefaultBatchRows
	Delete    bool // remove an incarnation's segments once all of it was acknowledged
	// Told hears after each batch; may be nil.
	Told func(ShipReport)
}

// ShipReport is what ShipDir did. Records that the sink had already are counted
// as sent: only the sink knows.
type ShipReport struct {
	Incarnations int       `json:"incarnations"`       // with something in them
	Segments     int       `json:"segments"`           // that were read
	Damaged      int       `json:"damaged"`            // of these, with bytes that do not check before their end
	Unreadable   int       `json:"unreadable"`         // segments that do not check from their first byte on
	Batches      int       `json:"batches"`            // acknowledged
	Records      int       `json:"records"`            // in them
	Interrupted  int       `json:"interrupted"`        // of these, requests without an end
	Objects      int       `json:"objects"`            // in them
	Deleted      int       `json:"deleted"`            // segments removed
	Gateways     []string  `json:"gateways,omitempty"` // whose usage it was
	First        time.Time `json:"first,omitzero"`     // start of the earliest record
	Last         time.Time `json:"last,omitzero"`      // start of the latest record
}

// ShipDir ships the journal of a gateway that is gone, as that gateway would
// have at its next start: same batches' content, same offsets, same ids, so that
// what had arrived before counts once. Nothing in dir is changed unless asked.
//
// FailedPrecondition when a live process holds the journal. A sink that is
// unavailable is tried again until ctx ends; any other error ends ShipDir, and
// it may be run again.
func ShipDir(ctx context.Context, dir string, sink Sink, o ShipDirOptions) (report ShipReport, err error) {
	if o.BatchRows <= 0 {
		o.BatchRows = DefaultBatchRows
	}
	unlock, err := lockDead(dir)
	if err != nil {
		return report, err
	}
	defer unlock()
	found, err := scanDir(dir)
	if err != nil {
		return report, ioError("cannot read the journal", err)
	}
	report.Unreadable = len(found.foreign)
	for _, st := range found.streams {
		report.Incarnations++
		report.Segments += len(st.spans)
		if g := st.gateway.String(); len(report.Gateways) == 0 || report.Gateways[len(report.Gateways)-1] != g {
			report.Gateways = append(report.Gateways, g)
		}
		if err := shipStream(ctx, st, sink, &o, &report); err != nil {
			return report, err
		}
	}
	if o.Delete {
		for _, path := range found.empty {
			if err := os.Remove(path); err != nil {
				return report, ioError("cannot remove a segment", err)
			}
		}
	}
	return report, nil
}

func shipStream(ctx context.Context, st *stream, sink Sink, o *ShipDirOptions, report *ShipReport) error {
	defer st.close()
	for {
		b, err := st.read(o.BatchRows)
		if err != nil {
			return ioError("cannot read the journal", err)
		}
		if b == nil {
			break
		}
		if err := insist(ctx, sink, *b); err != nil {
			return err
		}
		report.add(b)
		if o.Told != nil {
			o.Told(*report)
		}
	}
	for _, sp := range st.spans {
		if sp.damaged {
			report.Damaged++
		}
	}
	if !o.Delete {
		return nil
	}
	n := len(st.spans)
	if err := st.drop(n); err != nil {
		return ioError("cannot remove a segment", err)
	}
	report.Deleted += n
	return nil
}

// insist hands a batch over, again and again while nobody is there to take it.
func insist(ctx context.Context, sink Sink, b Batch) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := sink.Ingest(ctx, b)
		if err == nil || !errors.Is(err, gatehouse.Unavailable) || ctx.Err() != nil {
			return err
		}
		pause(ctx, wait)
	}
}

func (r *ShipReport) add(b *Batch) {
	r.Batches++
	r.Records += len(b.Records)
	r.Objects += len(b.Objects)
	for i := range b.Records {
		u := &b.Records[i]
		if u.Outcome == gatehouse.Interrupted {
			r.Interrupted++
		}
		if r.First.IsZero() || u.Start.Before(r.First) {
			r.First = u.Start
		}
		if u.Start.After(r.Last) {
			r.Last = u.Start
		}
	}
}

// lockDead takes a directory that nobody may be using. On a volume that is
// mounted for reading alone a lock cannot be made, nor can anybody write.
func lockDead(dir string) (unlock func(), err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "%s is no directory", dir).Because(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(names) == 0 {
		if nested, _ := filepath.Glob(filepath.Join(dir, "journal", "*"+segmentSuffix)); len(nested) > 0 {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "%s is a data directory: name %s", dir, filepath.Join(dir, "journal"))
		}
	}
	path := filepath.Join(dir, "lock")
	f, err := lockDir(path)
	if readOnly(err) {
		if f, err = lockExisting(path); errors.Is(err, fs.ErrNotExist) {
			return func() {}, nil
		}
	}
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "another process holds the journal").Because(err)
	}
	return func() { f.Close() }, nil
}
