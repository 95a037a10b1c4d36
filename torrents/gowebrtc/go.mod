// Stands in for github.com/pion/webrtc; see webrtc.go.
module github.com/pion/webrtc/v4

go 1.26

require (
	github.com/pion/datachannel v1.5.9
	github.com/pion/logging v0.2.4
)
