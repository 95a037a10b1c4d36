package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

func (s *server) registerRoutes(api *mux.Router) {
	api.HandleFunc("/routes", s.listRoutes).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/routes", s.addRoute).Methods(http.MethodPost)
	api.HandleFunc("/routes/{route}", s.getRoute).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/routes/{route}", s.changeRoute).Methods(http.MethodPatch)
	api.HandleFunc("/routes/{route}", s.removeRoute).Methods(http.MethodDelete)
}

// routeJSON is a route on the wire.
type routeJSON struct {
	Name     string            `json:"name"`
	Archives torrents.Archives `json:"archives"`
	Torrents int               `json:"torrents"`
}

func newRouteJSON(r torrents.Route) routeJSON {
	return routeJSON{Name: r.Name, Archives: r.Archives, Torrents: r.Torrents}
}

func (s *server) listRoutes(w http.ResponseWriter, _ *http.Request) {
	list := struct {
		Routes []routeJSON `json:"routes"`
	}{Routes: []routeJSON{}}
	for _, r := range s.library.Routes() {
		list.Routes = append(list.Routes, newRouteJSON(r))
	}
	writeJSON(w, http.StatusOK, "application/json", list)
}

func (s *server) getRoute(w http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["route"]
	routes := s.library.Routes()
	i := slices.IndexFunc(routes, func(r torrents.Route) bool { return r.Name == name })
	if i < 0 {
		s.fail(w, r, fmt.Errorf("route %q: %w", name, torrents.ErrNotFound))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", newRouteJSON(routes[i]))
}

// routeChange is what a client may say of a route; nil is what it does not say.
type routeChange struct {
	Name     *string            `json:"name"`
	Archives *torrents.Archives `json:"archives"`
}

func (s *server) addRoute(w http.ResponseWriter, r *http.Request) {
	var body routeChange
	if err := readJSON(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	if body.Name == nil {
		s.fail(w, r, badRequest("“name” is missing."))
		return
	}
	archives := s.archives
	if body.Archives != nil {
		archives = *body.Archives
	}
	route, err := s.library.AddRoute(*body.Name, archives)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Location", "routes/"+url.PathEscape(route.Name))
	writeJSON(w, http.StatusCreated, "application/json", newRouteJSON(route))
}

func (s *server) changeRoute(w http.ResponseWriter, r *http.Request) {
	var body routeChange
	if err := readJSON(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	route, err := s.library.ChangeRoute(mux.Vars(r)["route"], body.Name, body.Archives)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", newRouteJSON(route))
}

func (s *server) removeRoute(w http.ResponseWriter, r *http.Request) {
	withTorrents, err := boolParameter(r, "torrents")
	if err == nil {
		err = s.library.RemoveRoute(mux.Vars(r)["route"], withTorrents)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
