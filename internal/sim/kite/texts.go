package kite

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// sayLocked sends a text of a type with its data.
func (c *client) sayLocked(kind string, data any) {
	c.lastSent = time.Now()
	c.QueueLocked(websocket.Text(textOf(kind, data)), nil)
}

func textOf(kind string, data any) []byte {
	return compactJSON(struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}{kind, data})
}

func compactJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("kite: bug: encoding a text: %v", err))
	}
	return b
}

// india is the time that orders tell, without saying so.
func india(t time.Time) time.Time { return t.In(time.FixedZone("IST", 5*3600+1800)) }

// preambleLocked sends what the ticker of the web site was seen to send first.
func (c *client) preambleLocked() {
	now := india(time.Now()).Format(time.RFC3339)
	const meta = `{"type":"instruments_meta","data":{"count":86481,"etag":"W/\"68907d60-55bf\""}}`
	c.QueueLocked(websocket.Text([]byte(meta)), nil)
	c.QueueLocked(websocket.Text(fmt.Appendf(nil, `{"type":"app_code","timestamp":%q}`, now)), nil)
}

// SentOrder is one postback.
type SentOrder struct {
	ID     string // of the order
	Status string
	Filled int    // quantity so far
	Data   string // the postback, as in the text's data
	Conns  []int  // that it was written to, sorted
	At     time.Time
}

// orderBook is the orders of all keys. Guarded by the server's lock but for what is immutable.
type orderBook struct {
	rand *rand.Rand
	made int
	open []*order // not done yet, oldest first
	sent []*SentOrder
}

// maxOrders bounds the orders that are not done.
const maxOrders = 100

// order is an order between its first postback and its last.
type order struct {
	key       string
	n         int // counted over all
	id        string
	placed    string
	side      string
	quantity  int
	filled    int
	cancelled int
	status    string
	rest      []string // the statuses that are yet to come
}

// courses are what orders go through; one is drawn for each.
var courses = [][]string{
	{"OPEN", "UPDATE", "COMPLETE"},
	{"OPEN", "COMPLETE"},
	{"TRIGGER PENDING", "OPEN", "COMPLETE"},
	{"OPEN", "CANCELLED"},
	{"REJECTED"},
}

// nextLocked moves an order of the key on, or makes one where there is none or chance wants a new one.
func (b *orderBook) nextLocked(key string) *order {
	fresh := b.rand.IntN(2) == 0
	i := slices.IndexFunc(b.open, func(o *order) bool { return o.key == key })
	if !fresh && i >= 0 {
		o := b.open[i]
		o.advance()
		if len(o.rest) == 0 {
			b.open = slices.Delete(b.open, i, i+1)
		}
		return o
	}
	b.made++
	now := india(time.Now())
	o := &order{
		key: key, n: b.made, id: fmt.Sprintf("%s%09d", now.Format("060102"), b.made), placed: now.Format(time.DateTime),
		side: [...]string{"BUY", "SELL"}[b.rand.IntN(2)], quantity: 2 + b.rand.IntN(50),
		rest: courses[b.rand.IntN(len(courses))],
	}
	o.advance()
	if len(o.rest) > 0 {
		if len(b.open) >= maxOrders {
			b.open = slices.Delete(b.open, 0, 1) // it stays as it is for good
		}
		b.open = append(b.open, o)
	}
	return o
}

// advance lets the next status of an order come.
func (o *order) advance() {
	o.status, o.rest = o.rest[0], o.rest[1:]
	switch o.status {
	case "UPDATE":
		o.filled = o.quantity / 2
	case "COMPLETE":
		o.filled = o.quantity
	case "CANCELLED":
		o.cancelled = o.quantity
	}
}

// postback is what Kite tells of the order now.
func (o *order) postback() []byte {
	now, reason, average := india(time.Now()).Format(time.DateTime), "null", "0"
	if o.status == "REJECTED" {
		reason = `"Insufficient funds."`
	}
	if o.filled > 0 {
		average = "1412.95"
	}
	pending := o.quantity - o.filled - o.cancelled
	return fmt.Appendf(nil, `{"user_id":"AB1234","unfilled_quantity":%d,"app_id":1234,"checksum":"","placed_by":"AB1234",`+
		`"order_id":%q,"exchange_order_id":"1000000%09d","parent_order_id":null,"status":%q,"status_message":%s,`+
		`"status_message_raw":%s,"order_timestamp":%q,"exchange_update_timestamp":%q,"exchange_timestamp":%q,`+
		`"variety":"regular","exchange":"NSE","tradingsymbol":"INFY","instrument_token":408065,"order_type":"LIMIT",`+
		`"transaction_type":%q,"validity":"DAY","product":"CNC","quantity":%d,"disclosed_quantity":0,"price":1412.95,`+
		`"trigger_price":0,"average_price":%s,"filled_quantity":%d,"pending_quantity":%d,"cancelled_quantity":%d,`+
		`"market_protection":0,"meta":{},"tag":null,"guid":"01XABC-%d"}`,
		pending, o.id, o.n, o.status, reason, reason, o.placed, now, now, o.side, o.quantity, average, o.filled, pending,
		o.cancelled, o.n)
}

// orderLocked sends the next postback of the client's key: to all its sockets, or to this one.
func orderLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	o := c.p.book.nextLocked(c.rec.Key)
	data := o.postback()
	frame := websocket.Text(textOf("order", json.RawMessage(data)))
	sent := &SentOrder{ID: o.id, Status: o.status, Filled: o.filled, Data: string(data), At: time.Now()}
	c.p.book.sent = upstream.AppendBounded(c.p.book.sent, sent)
	for _, other := range slices.Clone(c.p.door.open) { // one that is cut off for its backlog leaves the list
		if other == c || !c.p.o.OrderToOne && other.opened && other.rec.Key == c.rec.Key {
			other.lastSent = time.Now()
			other.QueueLocked(frame, func() { sent.Conns = append(sent.Conns, other.ID) })
		}
	}
	return true
}

// Orders returns the postbacks, oldest first; of those past 10,000 the older half is forgotten.
func (p *Ticker) Orders() []SentOrder {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	list := make([]SentOrder, 0, len(p.book.sent))
	for _, sent := range p.book.sent {
		o := *sent
		o.Conns = slices.Sorted(slices.Values(o.Conns))
		list = append(list, o)
	}
	return list
}
