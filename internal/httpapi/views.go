package httpapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	moneypkg "github.com/vendbox/vendbox/internal/money"
)

// money is an amount of a currency.
type money = moneypkg.Money

// PageQuery is embedded by the input of every list. What is embedded has to be exported for huma to see it.
type PageQuery struct {
	Cursor string `query:"cursor" maxLength:"512" example:"MDE5M2I0" doc:"next_cursor of the page before. Leave it out for the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many at most."`
}

// listBody is the answer of every list.
type listBody[T any] struct {
	Data       []T     `json:"data" doc:"This page."`
	NextCursor *string `json:"next_cursor" nullable:"true" example:"MDE5M2I0" doc:"Send it as cursor to get the next page; null on the last one."`
}

// list makes the answer of a list. next is empty on the last page.
func list[T any](data []T, next string) listBody[T] {
	if data == nil {
		data = []T{}
	}
	if next == "" {
		return listBody[T]{Data: data}
	}
	return listBody[T]{Data: data, NextCursor: &next}
}

// UUIDPath is embedded where the path has an {id}.
type UUIDPath struct {
	ID uuid.UUID `path:"id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The id."`
}

// utc is a time as answers show it.
func utc(t time.Time) time.Time { return t.UTC() }

// utcPtr is utc where there may be none.
func utcPtr(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// requestLanguage is the caller's, by Accept-Language.
func requestLanguage(ctx context.Context) Language {
	if x := exchangeOf(ctx); x != nil {
		return languageOf(x.req)
	}
	return English
}

// String is the language's tag, as orders and messages have it.
func (l Language) String() string {
	if l == Chinese {
		return "zh"
	}
	return "en"
}
