package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
)

// CardImport is the report of an import. lines = imported + the duplicates + invalid_count.
type CardImport struct {
	ID                  uuid.UUID     `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The import's id."`
	SKU                 string        `json:"sku" example:"game-card-100" doc:"The product."`
	Status              string        `json:"status" enum:"running,completed,failed" example:"completed" doc:"A failed import took in nothing; send the file again."`
	Format              string        `json:"format" enum:"text,csv" example:"text" doc:"How the file was read."`
	Lines               int64         `json:"lines" example:"1004" doc:"Lines of the file, without blank ones and without a CSV file's header."`
	Imported            int64         `json:"imported" example:"1000" doc:"Cards that are in stock now."`
	DuplicatesInFile    int64         `json:"duplicates_in_file" example:"1" doc:"Lines that repeat an earlier one."`
	DuplicatesInStock   int64         `json:"duplicates_in_stock" example:"1" doc:"Codes that were in stock already."`
	DuplicatesDelivered int64         `json:"duplicates_delivered" example:"1" doc:"Codes that were delivered, disabled or revoked already."`
	InvalidCount        int64         `json:"invalid_count" example:"1" doc:"Lines that are no card."`
	Invalid             []invalidLine `json:"invalid" doc:"The first 1,000 of them; empty in lists."`
	Error               string        `json:"error,omitempty" example:"interrupted" doc:"Why it failed: interrupted (the upload was cut off), abandoned (the server went away), internal, or the code of the error that was answered."`
	Actor               string        `json:"actor" example:"key:7k2m9qx4" doc:"Who sent it."`
	CreatedAt           time.Time     `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it began."`
	FinishedAt          *time.Time    `json:"finished_at" nullable:"true" example:"2025-01-02T03:04:09Z" doc:"When it ended; null while it runs."`
}

// invalidLine never says what stood in the line.
type invalidLine struct {
	Line   int64  `json:"line" example:"17" doc:"Its number in the file, from 1."`
	Reason string `json:"reason" enum:"too_long,not_utf8,control_character,invisible_character,quotes,fields,code_missing,pin_missing,expires_at_invalid,expired" example:"too_long" doc:"What is wrong with it."`
}

func (s *Server) registerCardImports() {
	const path = "/v1/products/{sku}/card-imports"
	handleHTTP(s, operation{
		Operation: huma.Operation{
			OperationID: "import-cards", Method: http.MethodPost, Path: path, Tags: []string{tagProducts},
			Summary: "Import cards",
			Description: "Reads the body as it comes and takes all its cards into stock at once, or none. A code that the product has already, in " +
				"whatever state, is not taken again: a file may be sent twice, and that is what to do when an import failed.\n\n" +
				"`text/plain` has one code on a line, or between delimiters. `text/csv` has a header with the columns `serial`, `pin` and " +
				"`expires_at` (RFC 3339, or a date, which is good until its end in UTC), in any order; the code is serial, space, pin, and " +
				"without a serial the pin alone. Both are UTF-8, with or without a byte order mark, with LF or CR LF; a line has up to " +
				"4,096 bytes.",
			Parameters: []*huma.Param{skuParam, delimiterParam},
			RequestBody: &huma.RequestBody{Required: true, Description: "The cards.", Content: map[string]*huma.MediaType{
				"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}, Example: "AAAA-BBBB-CCCC\nDDDD-EEEE-FFFF\n"},
				"text/csv":   {Schema: &huma.Schema{Type: huma.TypeString}, Example: "serial,pin,expires_at\n1001,AAAA-BBBB,2031-12-31\n"},
			}},
			Responses: map[string]*huma.Response{"201": {
				Description: "Imported. Not every line need have become a card.",
				Content: map[string]*huma.MediaType{"application/json": {
					Schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[CardImport](), true, "CardImport"),
				}},
			}},
			Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
		},
		Auth: needs(access.CardsImport), Class: upload,
		Faults: []string{
			"product_not_found", "product_not_card", "import_delimiter_invalid", "import_header_invalid", "import_abandoned", "import_lost",
			"body_incomplete", "body_too_large",
		},
	}, s.importCards)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-card-imports", Method: http.MethodGet, Path: path, Tags: []string{tagProducts},
			Summary: "List card imports", Description: "Newest first, without the invalid lines.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.ProductsRead), Faults: []string{"product_not_found", "cursor_invalid"},
	}, s.listCardImports)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-card-import", Method: http.MethodGet, Path: path + "/{id}", Tags: []string{tagProducts},
			Summary: "Get a card import", Description: "The report of one import.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.ProductsRead), Faults: []string{"card_import_not_found"},
	}, s.getCardImport)
}

var (
	skuParam = &huma.Param{
		Name: "sku", In: "path", Required: true, Description: "The product's SKU.", Example: "game-card-100",
		Schema: &huma.Schema{Type: huma.TypeString},
	}
	delimiterParam = &huma.Param{
		Name: "delimiter", In: "query", Example: ";", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(16)},
		Description: "Of text/plain: what stands between two cards, instead of a line end. Of text/csv: the one character between two " +
			"fields, instead of a comma.",
	}
)

func (s *Server) importCards(w http.ResponseWriter, r *http.Request) {
	format, delimiter, err := importForm(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	report, err := s.deps.Inventory.Import(r.Context(), inventory.ImportParams{
		SKU: r.PathValue("sku"), Format: format, Delimiter: delimiter, Reader: uploadReader{r.Body},
		Actor: principalOf(r.Context()).Actor(),
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", r.URL.Path+"/"+report.ID.String())
	w.WriteHeader(http.StatusCreated)
	_ = marshalJSON(w, viewCardImport(report)) // a client that is gone finds it in the list
}

// importForm reads what the request says of its body. A misspelt parameter must not turn a file into other cards.
func importForm(r *http.Request) (format inventory.Format, delimiter string, err error) {
	for name := range r.URL.Query() {
		if name != delimiterParam.Name {
			p := newProblem(r.Context(), http.StatusUnprocessableEntity, codeValidationFailed, nil)
			message := validationText(requestLanguage(r.Context()), "unknown query parameter")
			p.Errors = []ProblemError{{Location: clip("query." + name), Message: message}}
			return "", "", p
		}
	}
	if r.ContentLength == 0 {
		return "", "", newProblem(r.Context(), http.StatusBadRequest, codeBodyMissing, nil)
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err == nil && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		switch mediaType {
		case "text/plain":
			return inventory.FormatText, r.URL.Query().Get(delimiterParam.Name), nil
		case "text/csv":
			return inventory.FormatCSV, r.URL.Query().Get(delimiterParam.Name), nil
		}
	}
	return "", "", newProblem(r.Context(), http.StatusUnsupportedMediaType, codeUnsupportedMediaType, nil)
}

// uploadReader gives a body's failures as faults.
type uploadReader struct{ body io.Reader }

func (u uploadReader) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return n, fault.Wrap(err, fault.TooLarge, "body_too_large", "limit", tooLarge.Limit)
	}
	return n, fault.Wrap(err, fault.Malformed, "body_incomplete")
}

type listCardImportsInput struct {
	SKUPath
	PageQuery
}

type listCardImportsOutput struct{ Body listBody[CardImport] }

func (s *Server) listCardImports(ctx context.Context, in *listCardImportsInput) (*listCardImportsOutput, error) {
	reports, next, err := s.deps.Inventory.ListImports(ctx, in.SKU, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]CardImport, len(reports))
	for i, report := range reports {
		views[i] = viewCardImport(report)
	}
	return &listCardImportsOutput{list(views, next)}, nil
}

type getCardImportInput struct {
	SKUPath
	UUIDPath
}

type cardImportOutput struct{ Body CardImport }

func (s *Server) getCardImport(ctx context.Context, in *getCardImportInput) (*cardImportOutput, error) {
	report, err := s.deps.Inventory.GetImport(ctx, in.SKU, in.ID)
	if err != nil {
		return nil, err
	}
	return &cardImportOutput{viewCardImport(report)}, nil
}

func viewCardImport(r inventory.Report) CardImport {
	view := CardImport{
		ID: r.ID, SKU: r.SKU, Status: string(r.Status), Format: string(r.Format), Lines: r.Lines, Imported: r.Imported,
		DuplicatesInFile: r.DuplicatesInFile, DuplicatesInStock: r.DuplicatesInStock, DuplicatesDelivered: r.DuplicatesDelivered,
		InvalidCount: r.InvalidCount, Invalid: make([]invalidLine, len(r.Invalid)), Error: r.Error, Actor: r.Actor,
		CreatedAt: utc(r.CreatedAt), FinishedAt: utcPtr(r.FinishedAt),
	}
	for i, line := range r.Invalid {
		view.Invalid[i] = invalidLine(line)
	}
	return view
}
