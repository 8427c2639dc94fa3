package scaiwave

import (
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
)

// ConnRecord is what is known of one stream. It is the receiver's to keep.
type ConnRecord struct {
	upstream.Record
	Token    string    // as it came
	Good     bool      // the token was
	Hello    time.Time // when hello was sent; zero: it was not. It gets the events from then on
	From     int64     // the newest position given away then
	Replaced bool      // a later socket with the same token took its place
	Events   uint64    // written to the socket, ephemeral ones and repeats included
	Last     int64     // the highest position written to it
}

// SyncRecord is one request to sync.
type SyncRecord struct {
	At      time.Time // when it arrived
	Until   time.Time // when its answer was ready to be written, or the client was gone
	Since   int64
	Limit   int
	Timeout time.Duration
	Status  int            // of the answer; 0: the client left, or was never answered
	Fault   upstream.Fault // that befell it; "": none
	Events  int            // in the answer
	Next    int64
	More    bool
}

// Published returns the events with a position that were ever published, in the order of publishing, and says of each
// whether sync still has it. Without Record it returns only those that are still kept, by position. whole is false if
// there were too many to remember.
func (w *ScaiWave) Published() (events []Event, whole bool) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return w.log.published()
}

// Conns returns what is known of each stream, in the order of accepting.
func (w *ScaiWave) Conns() []ConnRecord {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	clients := w.ClientsLocked()
	records := make([]ConnRecord, 0, len(clients))
	for _, uc := range clients {
		r := clientOf(uc).rec
		r.Record = uc.RecordLocked()
		records = append(records, r)
	}
	return records
}

// Syncs returns the requests to sync that are over, in the order of Until. Of those past 10,000 the older half
// is forgotten.
func (w *ScaiWave) Syncs() []SyncRecord {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return slices.Clone(w.syncs)
}
