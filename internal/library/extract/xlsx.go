package extract

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

const xlsxPart = "xl/workbook.xml"

// readXLSX emits every sheet's rows a line each, with tabs between the cells, as
// they are shown: dates as dates. The library holds what it is given in memory,
// so it is given the parts that have text.
func readXLSX(s source, e *emitter) error {
	slim, err := slimmed(s)
	if err != nil {
		return err
	}
	bound := s.Limits.Inflated
	book, err := excelize.OpenReader(bytes.NewReader(slim), excelize.Options{UnzipSizeLimit: bound, UnzipXMLSizeLimit: bound})
	if err != nil {
		return err
	}
	for _, sheet := range book.GetSheetList() {
		if err := e.place(Part{Sheet: sheet}); err != nil {
			return err
		}
		if err := readSheet(book, sheet, e); err != nil {
			return err
		}
	}
	return nil
}

func readSheet(book *excelize.File, sheet string, e *emitter) error {
	rows, err := book.Rows(sheet)
	if err != nil {
		if errors.As(err, new(excelize.ErrSheetNotExist)) {
			return nil // a sheet that is a chart
		}
		return err
	}
	for rows.Next() {
		cells, err := rows.Columns()
		if err != nil {
			return err
		}
		if len(cells) == 0 {
			continue
		}
		if err := e.print(strings.TrimRight(strings.Join(cells, "\t"), "\t") + "\n"); err != nil {
			return err
		}
	}
	return rows.Error()
}

// lastRow is that of a sheet.
const lastRow = 1 << 20

// plausible refuses a row that no sheet has: the library makes all before it.
func plausible(t xml.StartElement) error {
	if at := attr(t, "r"); t.Name.Local == "row" && at != "" {
		if n, err := strconv.Atoi(at); err != nil || n < 1 || n > lastRow {
			return fail(Damaged, "the document is damaged: a row has no place in a sheet")
		}
	}
	return nil
}

// slimmed is the workbook without pictures, charts and whatever is embedded,
// copied packed as it is. All of it is read once before, to see that it is
// within bounds and whole: the library takes an error in a sheet for its end.
func slimmed(s source) ([]byte, error) {
	a, err := openArchive(s)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range a.parts {
		if strings.HasPrefix(name, "xl/") && strings.HasSuffix(name, ".xml") || strings.HasSuffix(name, ".rels") || name == "[Content_Types].xml" {
			if !strings.Contains(name, "/drawings/") && !strings.Contains(name, "/charts/") && !strings.Contains(name, "/pivot") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		if err := a.walk(name, plausible, noEnd, noText); err != nil {
			return nil, err
		}
		if err := z.Copy(a.parts[name]); err != nil {
			return nil, fail(Damaged, "the document is damaged: a part is cut or changed")
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
