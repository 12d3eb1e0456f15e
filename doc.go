// Package gatehouse is what the product is: its types, its pure rules and the
// contracts of its management plane. It imports only the standard library and
// does no I/O.
//
// # Nouns
//
// A [Team] owns API keys, usage and an audit log. A [Key] lets a program call
// models: its [ACL] says which models on which endpoints, its [Limits] how
// fast. A [ManagementKey] lets a person or a program manage keys, up to its
// [Grant]. An [Upstream] answers requests for models; a [Model] has aliases
// and effective-dated prices. A [Cluster] is a group of gateways. Every change
// has a [Revision], every act an [Event] in the audit log, every forwarded
// request a [UsageRecord] whose [Usage] counts disjoint [Unit]s and whose cost
// is in [Ticks].
//
// # Floors
//
// Imports go down only; floors_test.go enforces it.
//
//	6  cmd/gatehouse                  main and the command line
//	5  internal/serve                 assembles a role into a running program
//	4  internal/api/…, client,        faces: decode, call, encode
//	   internal/simulate              the simulated upstream
//	   internal/observe               spans and metrics, as the gateway tells them
//	3  internal/control               the management use-cases
//	   internal/gateway               the data plane: admit, forward, settle
//	   internal/gateway/rpc           its gRPC face: calls become its requests
//	   internal/fleet                 a gateway's way to a control elsewhere
//	   internal/library               files, collections, documents and search
//	2  internal/store/{sqlite,postgres}  the engines of the truth, over
//	   internal/store/sqlstore        the SQL they share
//	   internal/library/index/{sqlite,postgres}  the engines of the document index
//	   internal/limit/valkey          the limit authority outside control
//	   internal/{mail,signin}         letters by SMTP, people by OpenID Connect
//	   internal/payment               drivers of payments: by hand, and by signed events
//	   internal/library/blob/{dir,s3}  where bytes are kept; internal/library/embed, models through a gateway
//	1  internal/{secret,store,limit,feed,meter,audit,llm,api,billing,purse,catalogue,crowd,durable,inside,openapi}
//	   internal/library/{filter,index}  what lists and searches are narrowed by; the contract of the document index
//	   internal/library/{blob,assertion}  the contract of blobs; what a gateway says of whoever asks the library
//	   internal/library/{extract,chunk}  text of documents, in a process of its own, and pieces of text
//	0  this package
//
// internal/engine starts real servers for tests; nothing that runs imports it.
//
// # The two flows
//
// A mutation: the api kit resolves the credential, a face decodes strictly,
// control checks and acts inside one transaction of the store that writes the
// row, its audit leaf and its change under one revision, and the face encodes.
//
// A request: the gateway admits it from its in-memory replica of the changes,
// writes an open record to the journal, forwards the bytes it judged, streams
// the answer while reading its usage, and settles: limits corrected, record
// closed. The journal is ingested into rows and rollups exactly once.
//
// Control and gateway are one process or many. Apart, changes and usage travel
// over one service of control (internal/api/fleet, internal/fleet), and neither
// flow knows the difference.
package gatehouse
