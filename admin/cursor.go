package admin

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// A page of a list goes on behind the last row of the page before, which is what its cursor holds, so that
// it goes on at the right place though rows came and went.

// encodeCursor makes a cursor of a row's place, which has nothing in it that JSON cannot encode.
func encodeCursor(place any) string {
	b, _ := json.Marshal(place)
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads a cursor into place, which stays nil if there is none.
func decodeCursor[T any](cursor string, place **T) error {
	if cursor == "" {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, place)
	}
	if err != nil || *place == nil {
		return badRequest("The cursor %.60q is not one that this API gave.", cursor)
	}
	return nil
}

// parseLimit reads how many rows a page may have; it is preset where that is not said.
func parseLimit(limit string, preset int) (int, error) {
	if limit == "" {
		return preset, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badRequest("The limit is %.40q, and has to be 1 to %d.", limit, maxLimit)
	}
	return n, nil
}
