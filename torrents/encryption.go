package torrents

import (
	"fmt"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/mse"
)

// Encryption is how connections to peers are encrypted (Message Stream Encryption, as Vuze and
// µTorrent made it: it hides from simple filters what this is, and is no secret to anybody who looks).
// It is not about trackers and web seeds.
type Encryption string

// The kinds of encryption.
const (
	// EncryptionAllow hides the handshake from whom it can, and sends data as it is; whoever wants it
	// otherwise gets it otherwise. The cipher halves the speed.
	EncryptionAllow Encryption = "allow"
	// EncryptionPrefer encrypts data too, but for peers that cannot.
	EncryptionPrefer Encryption = "prefer"
	// EncryptionRequire has no connection without it, in either direction.
	EncryptionRequire Encryption = "require"
)

// UnmarshalText sets e to one of the kinds of encryption.
func (e *Encryption) UnmarshalText(text []byte) error {
	switch got := Encryption(text); got {
	case EncryptionAllow, EncryptionPrefer, EncryptionRequire:
		*e = got
		return nil
	default:
		return fmt.Errorf("%q is not %s, %s or %s", text, EncryptionAllow, EncryptionPrefer, EncryptionRequire)
	}
}

// configure sets what the engine offers, and what it takes of what peers offer. Allow is its default,
// and so is the zero value.
func (e Encryption) configure(cfg *torrent.ClientConfig) {
	switch e {
	case EncryptionPrefer:
		// Offered both, most peers choose plain data. Those that have no cipher are dialled again.
		cfg.CryptoProvides = mse.CryptoMethodRC4
		cfg.CryptoSelector = func(offered mse.CryptoMethod) mse.CryptoMethod {
			if offered&mse.CryptoMethodRC4 != 0 {
				return mse.CryptoMethodRC4
			}
			return mse.DefaultCryptoSelector(offered)
		}
	case EncryptionRequire:
		cfg.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{Preferred: true, RequirePreferred: true}
		cfg.CryptoProvides = mse.CryptoMethodRC4
		// What was not offered, 0 among it, ends the connection.
		cfg.CryptoSelector = func(offered mse.CryptoMethod) mse.CryptoMethod {
			return offered & mse.CryptoMethodRC4
		}
	default:
	}
}
