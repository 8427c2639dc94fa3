package natslogin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"feedmux/internal/regular"
)

// The client's own options for files open them as they come: a pipe in the place of one would hold up the connecting, and with
// it the end of the daemon. Ours read them by package regular, at the same times.

// credentials logs in with a file of a JWT and its key.
func credentials(file string) nats.Option {
	return nats.UserJWT(func() (string, error) {
		text, err := regular.Read(file, regular.Small)
		if err != nil {
			return "", fmt.Errorf("reading the NATS credentials: %w", err)
		}
		return nkeys.ParseDecoratedJWT(text)
	}, signer(file))
}

// nkey logs in with a file of a seed. Whose key it is must be known before.
func nkey(file string) nats.Option {
	return func(o *nats.Options) error {
		pair, err := pairOf(file)
		if err != nil {
			return err
		}
		defer pair.Wipe()
		public, err := pair.PublicKey()
		if err == nil && !nkeys.IsValidPublicUserKey(public) {
			err = errors.New("it is not a user's")
		}
		if err != nil {
			return fmt.Errorf("reading the nkey: %w", err)
		}
		return nats.Nkey(public, signer(file))(o)
	}
}

// signer proves that we have the key in the file.
func signer(file string) nats.SignatureHandler {
	return func(nonce []byte) ([]byte, error) {
		pair, err := pairOf(file)
		if err != nil {
			return nil, err
		}
		defer pair.Wipe()
		return pair.Sign(nonce)
	}
}

// pairOf reads a seed, alone or among other things. The caller must wipe the pair.
func pairOf(file string) (nkeys.KeyPair, error) {
	text, err := regular.Read(file, regular.Small)
	if err != nil {
		return nil, fmt.Errorf("reading the nkey: %w", err)
	}
	defer clear(text)
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading the nkey: %w", err)
	}
	return pair, nil
}

// authorities are whom to trust instead of those that the system does.
func authorities(file string) (*x509.CertPool, error) {
	text, err := regular.Read(file, regular.Large)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of NATS: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading the authorities of NATS: %s holds no certificate", file)
	}
	return pool, nil
}

// certificate is what we show of ourselves.
func certificate(cert, key string) (tls.Certificate, error) {
	public, err := regular.Read(cert, regular.Large)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the certificate for NATS: %w", err)
	}
	private, err := regular.Read(key, regular.Small)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the certificate's key for NATS: %w", err)
	}
	defer clear(private)
	pair, err := tls.X509KeyPair(public, private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the certificate for NATS: %w", err)
	}
	return pair, nil
}
