// A backend on net/http that asks wxlogin who is calling. Run it with `go run .`
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Caller is what wxlogin says about a token.
type Caller struct {
	Active bool   `json:"active"`
	UserID string `json:"sub"`
	OpenID string `json:"openid"`
	AppID  string `json:"client_id"`
	Exp    int64  `json:"exp"`
}

type entry struct {
	caller  Caller
	expires time.Time
}

// Cache is a bounded cache of the standard library only. golang-lru's expirable.LRU is one that does more.
type Cache struct {
	mutex   sync.Mutex
	entries map[[sha256.Size]byte]entry
}

const maxEntries = 10_000

func (c *Cache) get(key [sha256.Size]byte) (Caller, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found, ok := c.entries[key]
	return found.caller, ok && time.Now().Before(found.expires)
}

func (c *Cache) put(key [sha256.Size]byte, caller Caller, expires time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.entries) >= maxEntries {
		clear(c.entries)
	}
	c.entries[key] = entry{caller, expires}
}

var (
	idle        = &http.Transport{IdleConnTimeout: 10 * time.Second} // wxlogin closes an idle connection after 15
	wxlogin     = http.Client{Timeout: 2 * time.Second, Transport: idle}
	cache       = Cache{entries: map[[sha256.Size]byte]entry{}}
	cacheFor, _ = time.ParseDuration(cmp.Or(os.Getenv("OAUTH_CACHE_SECONDS"), "30") + "s") // how late a log-out may be seen
)

func introspect(token string) (caller Caller, err error) {
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	request, err := http.NewRequest(http.MethodPost, os.Getenv("OAUTH_INTROSPECTION_URL"), form)
	if err != nil {
		return caller, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(os.Getenv("OAUTH_CLIENT_ID"), os.Getenv("OAUTH_CLIENT_SECRET"))
	answer, err := wxlogin.Do(request)
	if err != nil {
		return caller, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return caller, fmt.Errorf("status %d", answer.StatusCode)
	}
	return caller, json.NewDecoder(answer.Body).Decode(&caller)
}

type callerKey struct{}

// Authenticated lets no request without a live token in.
func Authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		key := sha256.Sum256([]byte(token))
		caller, ok := cache.get(key)
		if !ok {
			var err error
			if caller, err = introspect(token); err != nil {
				log.Print("wxlogin did not answer: ", err)
				w.Header().Set("Retry-After", "1")
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return
			}
			if !caller.Active {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				http.Error(w, "invalid token", http.StatusUnauthorized)
				return
			}
			expires := time.Now().Add(cacheFor)
			if end := time.Unix(caller.Exp, 0); end.Before(expires) {
				expires = end
			}
			cache.put(key, caller, expires)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

func orders(w http.ResponseWriter, r *http.Request) {
	caller := r.Context().Value(callerKey{}).(Caller)
	json.NewEncoder(w).Encode(map[string]string{"user_id": caller.UserID, "openid": caller.OpenID, "appid": caller.AppID})
}

func main() {
	http.HandleFunc("GET /orders", orders)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "9000"), Authenticated(http.DefaultServeMux)))
}
