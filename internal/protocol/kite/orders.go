package kite

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"sync"
)

// rememberedOrders is how many order updates are remembered, to know them again: far more than come in the second or so
// in which the connections bring the same one.
const rememberedOrders = 4096

// orders knows the order updates that came. Each connection of a key may bring the same ones. Any goroutine may ask; the
// lock is held for one look-up, and only when an order changes.
type orders struct {
	mu    sync.Mutex
	known map[orderKey]bool
	ring  []orderKey // those known, so that the oldest can be forgotten
	next  int        // where the oldest is, once the ring is full
}

type orderKey [sha256.Size]byte

func newOrders() *orders { return &orders{known: make(map[orderKey]bool)} }

// first says whether an update comes for the first time.
func (o *orders) first(k orderKey) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[k] {
		return false
	}
	o.known[k] = true
	if len(o.ring) < rememberedOrders {
		o.ring = append(o.ring, k)
		return true
	}
	delete(o.known, o.ring[o.next])
	o.ring[o.next] = k
	o.next = (o.next + 1) % rememberedOrders
	return true
}

// update is an order update, as far as it must be understood. What only has to be compared stays as it was sent.
type update struct {
	Status   string          `json:"status"`
	ID       json.RawMessage `json:"order_id"`
	At       json.RawMessage `json:"exchange_update_timestamp"`
	Filled   json.RawMessage `json:"filled_quantity"`
	Quantity json.RawMessage `json:"quantity"`
	Price    json.RawMessage `json:"price"`
	Trigger  json.RawMessage `json:"trigger_price"`
}

// key is the same for two updates that say the same. The exchange's time has seconds, in which an order may be changed
// twice: so what a change can change is part of it. An update of nobody knows what is known by all of its bytes.
func (u *update) key(data []byte) (k orderKey) {
	parts := [][]byte{[]byte(u.Status), u.ID, u.At, u.Filled, u.Quantity, u.Price, u.Trigger}
	if u.ID == nil {
		parts = [][]byte{data}
	}
	h := sha256.New()
	for _, p := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	h.Sum(k[:0])
	return k
}
