//go:build !linux

package nat

// Devices returns of what kind the network devices are; on this system nothing is known of that.
func Devices() (map[string]string, error) { return nil, nil }
