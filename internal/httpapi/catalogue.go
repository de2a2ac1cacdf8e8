package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/language"

	"github.com/vendbox/vendbox/internal/fault"
)

// Language is one of the two the answers are written in.
type Language int

// The languages.
const (
	English Language = iota
	Chinese
)

// catalogueJSON has for every fault code its words. {name} stands for a parameter of the fault.
//
//go:embed catalogue.json
var catalogueJSON []byte

type entry struct {
	EN words `json:"en"`
	ZH words `json:"zh"`
}

type words struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (e entry) in(lang Language) words {
	if lang == Chinese {
		return e.ZH
	}
	return e.EN
}

// catalogue is read once; its test reads it before anybody else does.
var catalogue = sync.OnceValue(func() map[string]entry {
	var all map[string]entry
	if err := json.Unmarshal(catalogueJSON, &all, readOptions); err != nil {
		panic(fmt.Sprintf("catalogue.json: %v", err))
	}
	return all
})

// textOf gives a code's title and detail. A code without an entry (a test finds those) shows its name.
func textOf(lang Language, code string, params map[string]any) (title, detail string) {
	e, ok := catalogue()[code]
	if !ok {
		return code, code
	}
	w := e.in(lang)
	return w.Title, fill(w.Detail, params)
}

// Explain says of an error what a caller of the API would be told, with its code, where it is a fault; for the command line.
func Explain(err error) string {
	f, ok := fault.As(err)
	if !ok {
		return err.Error()
	}
	_, detail := textOf(English, f.Code, f.Params)
	return detail + " (" + f.Code + ")"
}

func fill(text string, params map[string]any) string {
	if len(params) == 0 || !strings.Contains(text, "{") {
		return text
	}
	pairs := make([]string, 0, 2*len(params))
	for name, value := range params {
		pairs = append(pairs, "{"+name+"}", fmt.Sprint(value))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

var languages = language.NewMatcher([]language.Tag{language.English, language.Chinese})

// languageOf chooses by Accept-Language (RFC 9110 §12.5.4); English where it says nothing of the two.
func languageOf(r *http.Request) Language {
	header := r.Header.Get("Accept-Language")
	if header == "" || len(header) > 256 {
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return English
	}
	_, index, confidence := languages.Match(tags...)
	if confidence == language.No {
		return English
	}
	return Language(index)
}
