package assertion

// What the library and gateways say to each other beside the bodies that
// clients see.
const (
	// CodeHeader carries the gatehouse.Code of a refusal. An answer that is no
	// success and has none does not come from the library.
	CodeHeader = "X-Gatehouse-Code"
	// TypeHeader and NameHeader tell of an answer below InlinePath what is in it:
	// the content type of an image, or text/plain for extracted text; and the
	// file's name, escaped as a path segment.
	TypeHeader = "X-Gatehouse-File-Type"
	NameHeader = "X-Gatehouse-File-Name"
	// InlinePath, with a file's id behind it, answers with what of the file goes
	// into a prompt: an image as it is, the text of everything else. The query's
	// image and text are how many bytes of either are wanted at most; there is
	// ResourceExhausted for more. Only a gateway can ask so, no client.
	InlinePath = "/inline/"
)
