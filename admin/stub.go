package admin

import "net/http"

type fragment struct {
	Name string
	Data []byte
}

func (s *server) stream(w http.ResponseWriter, r *http.Request, parts func() ([]fragment, error)) {}
