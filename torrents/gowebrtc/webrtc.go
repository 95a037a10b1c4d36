// Package webrtc gives anacrolix/torrent the names that it wants from the module github.com/pion/webrtc/v4, and no WebRTC.
//
// anacrolix/torrent cannot be built without WebTorrent (peers in browsers), which Shoal turns off (Config.DisableWebtorrent). All that
// pion has for it, DTLS, SRTP, ICE, TURN and more, would be 3 MB of the program that never run. So the go.mod of Shoal replaces the
// module with this package, in which no connection can be made. Delete it, with the replace line, to have WebTorrent.
package webrtc

import (
	"errors"

	"github.com/pion/datachannel"
	"github.com/pion/logging"
)

// ErrAbsent is that there is no WebRTC in this program.
var ErrAbsent = errors.New("this program has no WebRTC")

// SettingEngine has settings that change nothing.
type SettingEngine struct{ LoggerFactory logging.LoggerFactory }

// DetachDataChannels does nothing.
func (*SettingEngine) DetachDataChannels() {}

// API makes connections, or would.
type API struct{}

// NewAPI returns an API that makes no connections.
func NewAPI(...func(*API)) *API { return &API{} }

// WithSettingEngine is an option that changes nothing.
func WithSettingEngine(SettingEngine) func(*API) { return func(*API) {} }

// NewPeerConnection returns ErrAbsent.
func (*API) NewPeerConnection(Configuration) (*PeerConnection, error) { return nil, ErrAbsent }

// Configuration is that of a connection.
type Configuration struct{ ICEServers []ICEServer }

// ICEServer is a STUN or TURN server.
type ICEServer struct{ URLs []string }

// ICECandidate is an address of a peer.
type ICECandidate struct {
	Address string
	Port    uint16
}

// ICECandidatePair is what a connection is between.
type ICECandidatePair struct{ Local, Remote *ICECandidate }

// SessionDescription is an offer or an answer, as it goes through a tracker.
type SessionDescription struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

// StatsReport is empty.
type StatsReport map[string]any

// OfferOptions change nothing.
type OfferOptions struct{}

// AnswerOptions change nothing.
type AnswerOptions struct{}

// DataChannelInit changes nothing.
type DataChannelInit struct{}

// PeerConnectionState is that of a connection.
type PeerConnectionState int

func (PeerConnectionState) String() string { return "closed" }

// DataChannelState is that of a data channel.
type DataChannelState int

// The only states.
const (
	PeerConnectionStateClosed PeerConnectionState = iota
	DataChannelStateClosed    DataChannelState    = iota
)

// PeerConnection is a connection, of which there can be none.
type PeerConnection struct{}

// Close does nothing.
func (*PeerConnection) Close() error { return nil }

// ConnectionState is PeerConnectionStateClosed.
func (*PeerConnection) ConnectionState() PeerConnectionState { return PeerConnectionStateClosed }

// OnConnectionStateChange does nothing.
func (*PeerConnection) OnConnectionStateChange(func(PeerConnectionState)) {}

// OnDataChannel does nothing.
func (*PeerConnection) OnDataChannel(func(*DataChannel)) {}

// LocalDescription is empty.
func (*PeerConnection) LocalDescription() *SessionDescription { return &SessionDescription{} }

// SetLocalDescription returns ErrAbsent.
func (*PeerConnection) SetLocalDescription(SessionDescription) error { return ErrAbsent }

// SetRemoteDescription returns ErrAbsent.
func (*PeerConnection) SetRemoteDescription(SessionDescription) error { return ErrAbsent }

// CreateOffer returns ErrAbsent.
func (*PeerConnection) CreateOffer(*OfferOptions) (SessionDescription, error) {
	return SessionDescription{}, ErrAbsent
}

// CreateAnswer returns ErrAbsent.
func (*PeerConnection) CreateAnswer(*AnswerOptions) (SessionDescription, error) {
	return SessionDescription{}, ErrAbsent
}

// CreateDataChannel returns ErrAbsent.
func (*PeerConnection) CreateDataChannel(string, *DataChannelInit) (*DataChannel, error) {
	return nil, ErrAbsent
}

// GetStats returns nothing.
func (*PeerConnection) GetStats() StatsReport { return nil }

// SCTP returns what Transport asks for.
func (*PeerConnection) SCTP() *Transport { return &Transport{} }

// Transport is a layer below a connection.
type Transport struct{}

// Transport is the layer below.
func (t *Transport) Transport() *Transport { return t }

// ICETransport is the layer below.
func (t *Transport) ICETransport() *Transport { return t }

// GetSelectedCandidatePair returns ErrAbsent.
func (*Transport) GetSelectedCandidatePair() (*ICECandidatePair, error) { return nil, ErrAbsent }

// DataChannel is a stream in a connection, of which there can be none.
type DataChannel struct{}

// Close does nothing.
func (*DataChannel) Close() error { return nil }

// ReadyState is DataChannelStateClosed.
func (*DataChannel) ReadyState() DataChannelState { return DataChannelStateClosed }

// OnOpen does nothing.
func (*DataChannel) OnOpen(func()) {}

// OnClose does nothing.
func (*DataChannel) OnClose(func()) {}

// Detach returns ErrAbsent.
func (*DataChannel) Detach() (datachannel.ReadWriteCloser, error) { return nil, ErrAbsent }

// GatheringCompletePromise returns a channel that is closed.
func GatheringCompletePromise(*PeerConnection) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
