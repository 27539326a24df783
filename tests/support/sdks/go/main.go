// Reads JWTs from stdin, one a line, and prints the claims of each that a backend accepts, or null.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"
)

type header struct {
	Alg, Typ, Kid string
	Crit          []string
}

type claims struct {
	Iss, Aud string
	Exp      int64
}

// fetchKeys returns the public keys of the key set, by kid.
func fetchKeys(url string) map[string]*ecdsa.PublicKey {
	answer, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X, Y string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		log.Fatal(err)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, key := range set.Keys {
		if key.Kty == "EC" && key.Crv == "P-256" {
			keys[key.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(key.X), Y: number(key.Y)}
		}
	}
	return keys
}

func number(part string) *big.Int {
	raw, _ := base64.RawURLEncoding.DecodeString(part)
	return new(big.Int).SetBytes(raw)
}

func decode(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// read returns the claims of a token that is good, as JSON, else null.
func read(token string, keys map[string]*ecdsa.PublicKey) string {
	parts := strings.Split(token, ".")
	var head header
	var body claims
	if len(parts) != 3 || !decode(parts[0], &head) || !decode(parts[1], &body) {
		return "null"
	}
	key, signature := keys[head.Kid], []byte{}
	if raw, err := base64.RawURLEncoding.DecodeString(parts[2]); err == nil {
		signature = raw
	}
	if key == nil || head.Alg != "ES256" || head.Typ != "at+jwt" || head.Crit != nil || len(signature) != 64 {
		return "null"
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	good := ecdsa.Verify(key, digest[:], r, s) && time.Now().Unix() < body.Exp
	if !good || body.Iss != os.Getenv("ISSUER") || body.Aud != os.Getenv("AUDIENCE") {
		return "null"
	}
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return string(raw)
}

func main() {
	keys := fetchKeys(os.Getenv("JWKS_URL"))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(read(lines.Text(), keys))
	}
}
