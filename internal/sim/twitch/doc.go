// Package twitch simulates Twitch's PubSub: LISTEN and UNLISTEN, PING and PONG, and the limits that [PubSubOptions] names
// with the real figures.
//
// What a [PubSub] sends are frames that Twitch sent (data/README.md) with the topic at hand and the present time. Each
// event carries a number, counted from 1 for each topic, where the real frame has some figure of its own: [EventNumber]
// reads it back, and so a test can tell lost events from repeated and reordered ones.
//
// What the clients did is recorded: [PubSub.Conns], [PubSub.Sent], and package upstream's Violations; for a test that
// holds every event against what a client made of it, [PubSub.TakeSent]. Most faults are package upstream's, too.
//
// Where the real upstream's answer is not known, the simulator's is a choice: more than 20 topics in a LISTEN end the
// connection with a FIN and no Close; a topic that makes it close the connection does so with Close 4000; more than 50 topics on a connection are answered with an error text of its own;
// a connection without a LISTEN or PING for too long is answered with Close 1008.
package twitch
