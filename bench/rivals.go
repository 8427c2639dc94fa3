package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	connections = 10
	perSlot     = 50
)

// role is what this program does as a child of itself.
func role(ctx context.Context, name string, args []string) error {
	switch {
	case name == "nats":
		return natsServer(ctx)
	case len(args) != 3:
		return errors.New("a rival needs the upstream's address, NATS' URL and a duration")
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	publish := publishFrame
	if name == "usual" {
		publish = publishDecoded
	}
	n, err := rival(ctx, args[0], args[1], publish)
	if err != nil {
		return err
	}
	fmt.Println(n)
	return nil
}

// natsServer serves NATS on a free port, which it prints, until its standard input ends.
func natsServer(ctx context.Context) error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(5 * time.Second) {
		return errors.New("NATS does not start")
	}
	fmt.Println(s.ClientURL())
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	return nil
}

// rival reads ten connections of fifty topics until ctx ends and hands each frame to publish. It counts them.
func rival(ctx context.Context, upstream, natsURL string, publish func(nc *nats.Conn, frame []byte) error) (int, error) {
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	var readers sync.WaitGroup
	counts := make([]int, connections)
	failures := make([]error, connections)
	for i := range connections {
		readers.Go(func() { counts[i], failures[i] = readAll(ctx, upstream, i, nc, publish) })
	}
	readers.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, errors.Join(append(failures, nc.FlushTimeout(5*time.Second))...)
}

func readAll(ctx context.Context, upstream string, slot int, nc *nats.Conn, publish func(*nats.Conn, []byte) error) (n int, err error) {
	conn, early, _, err := ws.Dial(ctx, upstream)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := listen(conn, slot); err != nil {
		return 0, err
	}
	var src io.Reader = conn
	if early != nil {
		src = early
	}
	r := bufio.NewReaderSize(src, 16<<10)
	frame := make([]byte, 64<<10)
	for {
		h, err := ws.ReadHeader(r)
		if err == nil && h.Length > int64(len(frame)) {
			return n, fmt.Errorf("a frame of %d bytes", h.Length)
		}
		if err == nil {
			_, err = io.ReadFull(r, frame[:h.Length])
		}
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, net.ErrClosed)):
			return n, nil
		case err != nil:
			return n, err
		case h.OpCode == ws.OpPing:
			if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewPongFrame(frame[:h.Length]))); err != nil {
				return n, err
			}
			continue
		}
		if err := publish(nc, frame[:h.Length]); err != nil {
			return n, err
		}
		n++
	}
}

// listen asks for the topics of a slot, twenty at a time.
func listen(conn net.Conn, slot int) error {
	names := topics()[slot*perSlot : (slot+1)*perSlot]
	for len(names) > 0 {
		n := min(20, len(names))
		ask, err := json.Marshal(map[string]any{
			"type": "LISTEN", "nonce": fmt.Sprint(len(names)), "data": map[string]any{"topics": names[:n]},
		})
		if err != nil {
			return err
		}
		if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame(ask))); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// topics are of the kinds whose real frames the simulator sends to anybody, from 150 to 1,560 bytes long.
func topics() []string {
	kinds := []string{
		"video-playback-by-id", "hype-train-events-v1", "community-points-channel-v1", "leaderboard-events-v1",
	}
	if kind := os.Getenv(onlyKind); kind != "" {
		kinds = []string{kind}
	}
	list := make([]string, connections*perSlot)
	for i := range list {
		list[i] = fmt.Sprintf("%s.%d", kinds[i%len(kinds)], 1000+i)
	}
	return list
}

// onlyKind is the environment variable that tells children to want one kind of topics.
const onlyKind = "FEEDMUX_BENCH_KIND"

// publishFrame is the floor: the least that any program must do.
func publishFrame(nc *nats.Conn, frame []byte) error { return nc.Publish("feed.floor", frame) }

// publishDecoded is the usual program: decode, find the topic, publish the body.
func publishDecoded(nc *nats.Conn, frame []byte) error {
	var m struct {
		Type string `json:"type"`
		Data struct {
			Topic   string `json:"topic"`
			Message string `json:"message"`
		} `json:"data"`
	}
	if err := json.Unmarshal(frame, &m); err != nil {
		return err
	}
	if m.Type != "MESSAGE" {
		return nil
	}
	return nc.Publish("feed.twitch."+m.Data.Topic, []byte(m.Data.Message))
}
