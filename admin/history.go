package admin

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"strings"

	"shoal/admin/history"
)

const (
	defaultPoints = 1000
	maxPoints     = 10_000
)

// historyJSON is a part of the past on the wire. Times are in seconds, that of the start since 1970.
type historyJSON struct {
	Start  int64               `json:"start"`
	Step   int64               `json:"step"`
	Series map[string]jsonList `json:"series"`
}

// jsonList is a column on the wire: whole numbers, but for the small ones, and null for a gap.
type jsonList []float32

// MarshalJSON is for package json, which knows no NaN.
func (l jsonList) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 2+4*len(l)), '[')
	for i, v := range l {
		if i > 0 {
			b = append(b, ',')
		}
		switch f := float64(v); {
		case math.IsNaN(f):
			b = append(b, "null"...)
		case f < 1000:
			b = strconv.AppendFloat(b, math.Round(f*100)/100, 'f', -1, 64)
		default:
			b = strconv.AppendFloat(b, f, 'f', 0, 64)
		}
	}
	return append(b, ']'), nil
}

func (s *server) statsHistory(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	points := defaultPoints
	if text := query.Get("points"); text != "" {
		var err error
		if points, err = strconv.Atoi(text); err != nil || points < 1 || points > maxPoints {
			s.fail(w, r, badRequest("“points” has to be a number from 1 to %d, and is %.40q.", maxPoints, text))
			return
		}
	}
	name := cmp.Or(query.Get("range"), history.Ranges()[0])
	columns, ok := s.history.Range(name, points)
	if !ok {
		s.fail(w, r, badRequest("There is no range called %.40q, but %s.", name, strings.Join(history.Ranges(), ", ")))
		return
	}
	j := historyJSON{Step: int64(columns.Step.Seconds()), Series: make(map[string]jsonList)}
	if !columns.Start.IsZero() {
		j.Start = columns.Start.Unix()
	}
	for name, column := range columns.Series {
		j.Series[name] = column
	}
	writeJSON(w, http.StatusOK, "application/json", j)
}

// readRate is how many bytes clients were sent in the last second.
func (s *server) readRate() int64 { return int64(s.history.ReadRate()) }
