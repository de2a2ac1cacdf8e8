package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assets are the embedded files by the names they are served under, which change with what is in them.
var assets, assetNames = readAssets()

func readAssets() (byName map[string][]byte, names map[string]string) {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(fmt.Sprintf("console: %v", err)) // it is embedded
	}
	byName, names = map[string][]byte{}, map[string]string{}
	for _, entry := range entries {
		text, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(fmt.Sprintf("console: %v", err))
		}
		sum := sha256.Sum256(text)
		base, ext, _ := strings.Cut(entry.Name(), ".")
		name := base + "." + hex.EncodeToString(sum[:8]) + "." + ext
		byName[name], names[entry.Name()] = text, name
	}
	return byName, names
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // the browser is gone otherwise
}
